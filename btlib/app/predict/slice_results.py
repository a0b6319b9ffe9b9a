"""Predicts images and writes the results: a table, the same as JSON, and heat map and outline over each image."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from btlib.app.predict.overlays import outlined, overlay, png
from btlib.app.predict.slices import BATCH, SliceAnswer, SlicePredictor
from btlib.app.scans.results import EARLIER, SLICES, about, refuse_filled, write_unused
from btlib.app.scans.slice_files import find_slices
from btlib.app.scans.slice_pictures import Picture, picture_of
from btlib.core.runtime.artifacts import atomic_path, write_csv, write_json
from btlib.core.runtime.errors import InputError, listed
from btlib.core.runtime.isolation import Lost, in_isolation

BATCH_PIXELS = 8_000_000  # of all images of a batch; a larger image gets a batch of its own
MAX_NAME_BYTES = 120  # of an overlay's name
UNLIKE = "unlike the training images of the network"


def predict_slices(paths: Sequence[Path], model: Path, out: Path) -> int:
    """Predicts every image in files and folders, and writes `out` atomically.

    `out`/slices.csv and slices.json have one row per image; `out`/overlays/ has Grad-CAM of the predicted class over
    each image and, from a network with a lesion head, the outline of the lesion. `out`/unreadable.csv lists files that
    could not be read (the others are predicted all the same), `out`/unused.csv folders with results of an earlier run.

    Args:
        paths: images, and folders of images at any depth.
        model: the folder of stage package_classifier.
        out: a new or empty folder.

    Returns:
        The number of images.

    Raises:
        InputError: `out` contains files, or no image can be read: nothing is written. Also when only some files cannot
            be read: the others are predicted and `out` is written.
    """
    refuse_filled(out)
    predictor = SlicePredictor.load(model)
    files, unreadable = find_slices(paths)
    unused = {path: unreadable.pop(path) for path, reason in list(unreadable.items()) if reason == EARLIER}
    rows: list[dict[str, Any]] = []
    with atomic_path(out) as folder:
        (folder / "overlays").mkdir(parents=True)
        names = _unique_names(files)
        for batch in _batches(files, unreadable):
            for picture, answer in zip(batch, predictor.answer([one.image for one in batch], heat=True), strict=True):
                place = f"overlays/{names[picture.path]}.png"
                (folder / place).write_bytes(png(_explained(picture.image, answer)))
                rows.append(_row(picture, answer, place))
        faults = [f"{path}: {reason}" for path, reason in unreadable.items()]
        if not rows:
            raise InputError(f"no readable image, so nothing was written\n{listed(faults)}".rstrip())
        write_csv(folder / "slices.csv", pd.DataFrame(rows))
        write_csv(folder / "unreadable.csv", pd.DataFrame(unreadable.items(), columns=["path", "reason"]).astype(str))
        write_unused(folder, unused)
        write_json(folder / SLICES, {"model": about(predictor.card), "slices": rows})
    if faults:
        raise InputError(
            f"{len(rows)} images were predicted, see {out}; {len(faults)} files could not be read:\n{listed(faults)}"
        )
    return len(rows)


def _batches(files: Sequence[Path], unreadable: dict[Path, str]) -> Iterator[list[Picture]]:
    """The images, in batches limited in number and pixels so that they fit into memory.

    Files that cannot be read are added to `unreadable`, with the reason.
    """
    batch: list[Picture] = []
    pictures = in_isolation(picture_of, files, "predict", batch=1)  # one at a time, since it may be large
    for path, picture in zip(files, pictures, strict=True):
        if not isinstance(picture, Picture):
            unreadable[path] = picture.reason if isinstance(picture, Lost) else picture
            continue
        pixels = sum(one.image[..., 0].size for one in [*batch, picture])
        if batch and (len(batch) == BATCH or pixels > BATCH_PIXELS):
            yield batch
            batch = []
        batch.append(picture)
    if batch:
        yield batch


def _explained(image: np.ndarray, answer: SliceAnswer) -> np.ndarray:
    """uint8 [H, W, 3]: the image under its heat map, with the lesion's outline if the network draws any."""
    covered = overlay(image, answer.heat)
    return covered if answer.lesion is None else outlined(covered, answer.lesion)


def _row(picture: Picture, answer: SliceAnswer, place: str) -> dict[str, Any]:
    remarks = [picture.remark, UNLIKE if answer.unfamiliar else ""]
    return {
        "path": str(picture.path),
        "label": answer.label,
        **{f"p_{name}": probability for name, probability in answer.probabilities.items()},
        "confidence": answer.confidence,
        "unsure": answer.unsure,
        "novelty": answer.novelty,
        "unfamiliar": answer.unfamiliar or bool(picture.remark),
        "lesion_share": answer.lesion_share,
        "overlay": place,
        "remarks": "; ".join(filter(None, remarks)),
    }


def _unique_names(files: Sequence[Path]) -> dict[Path, str]:
    """File names without extension, shortened; repeated ones (ignoring case) get a number."""
    names: dict[Path, str] = {}
    taken: set[str] = set()
    for path in files:
        stem = path.stem.encode()[:MAX_NAME_BYTES].decode(errors="ignore")
        name, number = stem, 1
        while name.casefold() in taken:
            number += 1
            name = f"{stem}-{number}"
        taken.add(name.casefold())
        names[path] = name
    return names
