"""The Medical Segmentation Decathlon's Task01_BrainTumour: four volumes in one 4D file, listed in dataset.json.

The set carries no grades; its test images have no segmentation either, and are left alone.
"""

import json
from pathlib import Path, PurePosixPath
from typing import Any

from btlib.data.volumes.conventions import MODALITIES
from btlib.data.volumes.sources.entry import Entry, Scan
from btlib.errors import InputError

CHANNELS = {"t1": "t1w", "t1ce": "t1gd", "t2": "t2w", "flair": "flair"}  # names in dataset.json, in small letters
LABELS = {"0": "background", "1": "edema", "2": "non-enhancing tumor", "3": "enhancing tumor"}


def scan(root: Path) -> Scan:
    """Lists the training cases of dataset.json; which volume of a file is which modality stands there too.

    Raises:
        InputError: dataset.json is not Task01's.
    """
    path = root / "dataset.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        channels = {name.lower(): int(number) for number, name in content["modality"].items()}
        labels = {number: name.lower().replace("tumour", "tumor") for number, name in content["labels"].items()}
        pairs = [(_clean(item["image"]), _clean(item["label"])) for item in content["training"]]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: not a table of contents of the Decathlon ({error!r}); download it again") from error
    _check("modality", sorted(channels), sorted(CHANNELS.values()), path)
    _check("labels", labels, LABELS, path)
    return Scan([_entry(image, label, channels) for image, label in sorted(pairs)])


def _entry(image: str, label: str, channels: dict[str, int]) -> Entry:
    volumes = {name: f"{image}#{channels[CHANNELS[name]]}" for name in MODALITIES}
    return Entry(PurePosixPath(image).name.split(".")[0], **volumes, seg=label, conventions=("msd",))


def _clean(path: str) -> str:
    return str(PurePosixPath(path))  # without the leading ./


def _check(field: str, found: Any, expected: Any, path: Path) -> None:
    if found != expected:
        raise InputError(
            f"{path}: {field} is {found}, in Task01_BrainTumour it is {expected}; list such a set in cases.csv"
        )
