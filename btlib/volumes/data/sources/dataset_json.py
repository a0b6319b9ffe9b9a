"""Data sets with a dataset.json: the Medical Segmentation Decathlon's Task01_BrainTumour, and nnU-Net versions 1 and 2.

The four volumes of a case are in one 4D file (Decathlon) or in files `<case>_0000.nii.gz`, `<case>_0001.nii.gz`, …
(nnU-Net), in the order given by dataset.json, which also names the labels, individually or as nested regions. Neither
has grades. Test images have no segmentation and are ignored.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from pydantic import AliasChoices, BaseModel, Field, ValidationError

from btlib.core.runtime.errors import InputError, brief, guarded
from btlib.core.runtime.listing import walk
from btlib.volumes.data.conventions import MODALITIES
from btlib.volumes.data.labels import BACKGROUND, EDEMA, ENHANCING, NECROTIC_CORE, named
from btlib.volumes.data.sources.entry import Entry, Scan

NAME = "dataset.json"
MAX_BYTES = 16 * 2**20  # 50,000 cases
CHANNELS = {  # names in lower case, without spaces, dashes and underscores
    "t1": "t1 t1w t1n t1wi t1weighted t1native t1pre",
    "t1ce": "t1ce t1c t1gd t1cw t1cew t1wce t1wc t1wgd t1gad t1km t1post t1postcontrast t1contrast t1contrastenhanced",
    "t2": "t2 t2w t2wi t2weighted",
    "flair": "flair t2f t2flair t2wflair flairw fla",
}
MODALITY_OF = {word: modality for modality, words in CHANNELS.items() for word in words.split()}
# A region's name applies only to numbers in none of its inner regions, so the outer ones come first
TISSUES = (
    (r"whole tumou?r|complete tumou?r|wt", EDEMA),
    (r"tumou?r core|tc", NECROTIC_CORE),
    (r".*(edema|hyperintens).*|ed|snfh", EDEMA),
    (r".*(necro|cyst|non ?enhanc).*|ncr|net|ncr net|netc|cc", NECROTIC_CORE),
    (r"(gd |contrast )?enhanc.*|et", ENHANCING),
    (r"(resection |surgical )?cavity|rc|background|bg", BACKGROUND),
)
IMAGE = re.compile(r"(?P<case>imagesTr/.+)_(?P<channel>\d{4})\.nii(\.gz)?", re.IGNORECASE)


class Pair(BaseModel):
    image: str
    label: str


class Files(BaseModel):
    images: list[str]
    label: str


class Contents(BaseModel):
    """The fields of dataset.json that are read."""

    channels: dict[int, str] = Field(validation_alias=AliasChoices("channel_names", "modality"))
    labels: dict[int, str] | dict[str, int | list[int]]  # names by number in version 1, numbers by name in version 2
    file_ending: str = ".nii.gz"
    training: list[Pair] = []  # of version 1
    dataset: dict[str, Files] = {}  # of version 2, for files in other places than usual


def scan(root: Path) -> Scan:
    """Lists the training cases.

    Raises:
        InputError: dataset.json is invalid, or belongs to another kind of data set.
    """
    path = root / NAME
    contents = _read(path)
    channels = _channels(contents.channels, path)
    conventions = (named(_tissues(contents.labels, path)),)
    found = Scan()
    files = [str(place / name) for place, names in walk(root, found.broken) for name in names]
    for case, images, label in _cases(contents, files):
        volumes = {modality: images.get(number, "") for modality, number in channels.items()}
        found.entries.append(Entry(case, **volumes, seg=label, conventions=conventions))
    return found


def _read(path: Path) -> Contents:
    with guarded(str(path), "JSON file"):
        raw = path.read_bytes() if path.stat().st_size <= MAX_BYTES else None
    if raw is None:
        raise InputError(f"{path}: larger than {MAX_BYTES // 2**20} MiB, too large for such a file; download it again")
    try:
        return Contents.model_validate_json(raw)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        reason = ": ".join(filter(None, (".".join(map(str, fault["loc"])), fault["msg"])))
        raise InputError(
            f"{path}: not a dataset.json of the Decathlon or of nnU-Net ({brief(reason)}); "
            "download it again, or list the set in cases.csv, which takes precedence"
        ) from None


def _channels(names: Mapping[int, str], path: Path) -> dict[str, int]:
    """The number of each modality's channel."""
    numbers = {MODALITY_OF.get(re.sub(r"[\s_-]", "", name.lower())): number for number, name in names.items()}
    if sorted(map(str, numbers)) != sorted(MODALITIES) or sorted(names) != list(range(len(MODALITIES))):
        raise InputError(
            f"{path}: channels are {brief(dict(names))}; expected 0 to 3, one each of T1, T1ce (T1Gd, T1c), T2 and "
            "FLAIR; correct the names, or list the set in cases.csv, which takes precedence"
        )
    return {name: numbers[name] for name in MODALITIES}


def _tissues(labels: Mapping[int, str] | Mapping[str, int | list[int]], path: Path) -> dict[int, int]:
    """The canonical label of each number, by the names of its label or of the nested regions that contain it."""
    tissues: dict[int, int] = {}
    found, strange = [], []
    for key, value in labels.items():
        name, numbers = (value, [key]) if isinstance(value, str) else (key, value)
        plain = re.sub(r"[^a-z]+", " ", name.lower()).strip()
        rank = next((rank for rank, (words, _) in enumerate(TISSUES) if re.fullmatch(words, plain)), None)
        if rank is None:
            strange.append(name)
        else:
            found.append((rank, numbers if isinstance(numbers, list) else [numbers]))
    if strange:
        raise InputError(
            f"{path}: label {brief(', '.join(strange))}: expected oedema, necrosis or non-enhancing tumour, enhancing "
            "tumour, cavity and background, or the regions whole tumour, tumour core and enhancing tumour; correct the "
            "names, or list the set in cases.csv, which takes precedence"
        )
    for rank, numbers in sorted(found):
        tissues |= dict.fromkeys(numbers, TISSUES[rank][1])
    return tissues


def _cases(contents: Contents, files: Sequence[str]) -> list[tuple[str, dict[int, str], str]]:
    """Name, volume of each channel, and segmentation of each case."""
    if contents.dataset:
        return [
            (case, dict(enumerate(map(_clean, one.images))), _clean(one.label))
            for case, one in sorted(contents.dataset.items())
        ]
    split = _channel_files(files)
    if contents.training:
        pairs = sorted((_clean(one.image), _clean(one.label)) for one in contents.training)
        return [
            (
                PurePosixPath(_stem(image)).name,
                split.get(_stem(image)) or _volumes_of_4d_file(image, len(contents.channels)),
                label,
            )
            for image, label in pairs
        ]
    masks = {_stem(path): path for path in files if path.startswith("labelsTr/")}
    found = []
    for image, channels in sorted(split.items()):
        case = PurePosixPath(image).name
        label = f"labelsTr/{case}"
        found.append(
            (case, channels, masks.get(label, label + contents.file_ending))
        )  # the reader reports a missing one
    return found


def _channel_files(files: Sequence[str]) -> dict[str, dict[int, str]]:
    """The files of each case of nnU-Net, by channel."""
    found: dict[str, dict[int, str]] = defaultdict(dict)
    for path in files:
        if match := IMAGE.fullmatch(path):
            found[match["case"]][int(match["channel"])] = path
    return dict(found)


def _volumes_of_4d_file(image: str, count: int) -> dict[int, str]:
    """References to the volumes of a 4D file, by channel."""
    return {number: f"{image}#{number}" for number in range(count)}


def _clean(path: str) -> str:
    return str(PurePosixPath(path.replace("\\", "/")))  # without the leading ./


def _stem(path: str) -> str:
    return re.sub(r"\.nii(\.gz)?$", "", path, flags=re.IGNORECASE)
