"""Predicts images and writes the results: a table, the same as JSON, and heat map and outline over each image."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from btlib.app.predict.journal import Entry, journal_in, settings_of, stamp_of
from btlib.app.predict.overlays import outlined, overlay, png
from btlib.app.predict.slices import BATCH, SliceAnswer, SlicePredictor
from btlib.app.predict.tables import write_tables
from btlib.app.scans.results import EARLIER, about
from btlib.app.scans.slice_files import find_slices
from btlib.app.scans.slice_pictures import Picture, picture_of
from btlib.core.runtime.artifacts import write_synced
from btlib.core.runtime.isolation import Lost, in_isolation

BATCH_PIXELS = 8_000_000  # of all images of a batch; a larger image gets a batch of its own
MAX_NAME_BYTES = 120  # of an overlay's name
UNLIKE = "unlike the training images of the network"


def predict_slices(paths: Sequence[Path], model: Path, out: Path, resume: bool = False) -> int:
    """Predicts every image in files and folders, batch by batch, and writes `out`.

    `out`/slices.csv and slices.json have one row per image; `out`/overlays/ has Grad-CAM of the predicted class over
    each image and, from a network with a lesion head, the outline of the lesion. `out`/unused.csv lists files that
    could not be read (the others are predicted all the same), and folders with results of an earlier run. The tables
    are written at the end, from the journal; see `journal.py`.

    Args:
        paths: images, and folders of images at any depth.
        model: the folder of stage package_classifier.
        out: a new or empty folder.
        resume: continue the run in `out`, predicting only images that are new or have changed.

    Returns:
        The number of images.

    Raises:
        InputError: see `journal_in` and `Journal.pending`; or no image can be read: nothing is written. Also when only
            some files cannot be read: the others are predicted and `out` is written.
    """
    predictor = SlicePredictor.load(model)
    files, refused = find_slices(paths)
    unused = {path: refused.pop(path) for path, reason in list(refused.items()) if reason == EARLIER}
    places = {str(path): f"overlays/{name}.png" for path, name in _unique_names(files).items()}
    stamps = {name: stamp_of([Path(name)], place) for name, place in places.items()}
    with journal_in(out, settings_of(model, kind="images"), resume) as journal:
        pending = [Path(name) for name in journal.pending(stamps)]
        (out / "overlays").mkdir(exist_ok=True)
        for batch in _batches(pending, len(files) - len(pending)):
            images = [one.image for one in batch.values() if isinstance(one, Picture)]
            answers = iter(predictor.answer(images, heat=True))
            journal.add(
                Entry(name, stamps[name], *_outcome(out, name, places[name], picture, answers))
                for name, picture in batch.items()
            )
        model_note = about(predictor.card)
        return write_tables(out, journal, list(stamps), "slices", model_note, refused.items(), unused.items())


def _outcome(
    out: Path, name: str, place: str, picture: Picture | str, answers: Iterator[SliceAnswer]
) -> tuple[dict[str, Any] | None, list[tuple[str, str]]]:
    """Row and unused files of an `Entry`; writes the overlay of an image, for which it takes the next answer."""
    if not isinstance(picture, Picture):
        (out / place).unlink(missing_ok=True)  # of the file before it changed
        return None, [(name, picture)]
    answer = next(answers)
    write_synced(out / place, png(_explained(picture.image, answer)))
    return _row(picture, answer, place), []


def _batches(files: Sequence[Path], done: int = 0) -> Iterator[dict[str, Picture | str]]:
    """The images by path, or for a file that cannot be read the reason, in batches limited in number and pixels so that
    they fit into memory.

    Args:
        done: images predicted before, for the progress bar.
    """
    batch: dict[str, Picture | str] = {}
    pixels = 0
    pictures = in_isolation(picture_of, files, "predict", batch=1, done=done)  # one at a time, since it may be large
    for path, picture in zip(files, pictures, strict=True):
        size = picture.image[..., 0].size if isinstance(picture, Picture) else 0
        if batch and (len(batch) == BATCH or pixels + size > BATCH_PIXELS):
            yield batch
            batch, pixels = {}, 0
        batch[str(path)] = picture.reason if isinstance(picture, Lost) else picture
        pixels += size
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
    last: Counter[str] = Counter()  # numbers below were found taken: without this, a thousand namesakes take a second
    for path in files:
        stem = path.stem.encode(errors="backslashreplace")[:MAX_NAME_BYTES].decode(errors="ignore")
        number = max(1, last[stem.casefold()])
        name = stem if number == 1 else f"{stem}-{number}"
        while name.casefold() in taken:
            number += 1
            name = f"{stem}-{number}"
        last[stem.casefold()] = number
        taken.add(name.casefold())
        names[path] = name
    return names
