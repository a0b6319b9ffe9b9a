"""Predictions of the packaged classifier for another hospital's data set: a table, and a figure of the worst errors."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from btlib.app.predict.slice_results import BATCH_PIXELS
from btlib.app.predict.slices import BATCH, SliceAnswer, SlicePredictor
from btlib.app.predict.worst_errors import Shown, worst_figure, worst_rows
from btlib.core.runtime.artifacts import atomic_path, write_csv
from btlib.images.data.reading import open_image, open_mask
from btlib.images.data.sources.entry import Entry
from btlib.report.figures.files import FigureFolder

COLUMNS = ("path", "label", "patient")


def write_external(out: Path, root: Path, entries: Sequence[Entry], predictor: SlicePredictor) -> pd.DataFrame:
    """Predicts every image and writes `out` atomically.

    `out`/predictions.csv has one row per image: path, label, patient ('' if unknown), p_<class> (calibrated) for each
    class of the network, confidence, unsure, unfamiliar and, from a network with a lesion head, lesion_share.
    `out`/worst.png shows missed tumours and false alarms; it is omitted if there are none.

    Args:
        root: folder of the data set.
        entries: from `external_images`.

    Returns:
        The table.
    """
    answers = [
        _row(entry, answer)
        for batch, images in _batches(root, entries)
        for entry, answer in zip(batch, predictor.answer(images, heat=False), strict=True)
    ]
    table = pd.DataFrame(answers)
    with atomic_path(out) as folder:
        folder.mkdir(parents=True)
        write_csv(folder / "predictions.csv", table)
        rows = worst_rows(table, predictor.classes)
        if any(map(len, rows.values())):
            shown = {
                title: [_shown(root, entries[row], predictor) for row in numbers] for title, numbers in rows.items()
            }
            FigureFolder(folder, predictor.data_note).write("worst.png", worst_figure(shown))
    return table


def write_left_out(out: Path) -> None:
    """Writes `out` with an empty table, for a data set that this study leaves out."""
    with atomic_path(out) as folder:
        folder.mkdir(parents=True)
        write_csv(folder / "predictions.csv", pd.DataFrame(columns=list(COLUMNS)))


def _batches(root: Path, entries: Sequence[Entry]) -> Iterator[tuple[list[Entry], list[np.ndarray]]]:
    """The images, in batches limited in number and pixels so that they fit into memory."""
    batch: list[Entry] = []
    images: list[np.ndarray] = []
    for entry in tqdm(entries, desc="predict", unit="image", mininterval=0.5):
        image = open_image(root, entry.path)
        pixels = sum(one[..., 0].size for one in [*images, image])
        if batch and (len(batch) == BATCH or pixels > BATCH_PIXELS):
            yield batch, images
            batch, images = [], []
        batch.append(entry)
        images.append(image)
    if batch:
        yield batch, images


def _row(entry: Entry, answer: SliceAnswer) -> dict[str, Any]:
    row = {
        **{name: getattr(entry, name) for name in COLUMNS},
        **{f"p_{name}": probability for name, probability in answer.probabilities.items()},
        "confidence": answer.confidence,
        "unsure": answer.unsure,
        "unfamiliar": answer.unfamiliar,
    }
    return row if answer.lesion_share is None else row | {"lesion_share": answer.lesion_share}


def _shown(root: Path, entry: Entry, predictor: SlicePredictor) -> Shown:
    """Reads and predicts one image again, now with its maps, since few of all images are shown."""
    image = open_image(root, entry.path)
    (answer,) = predictor.answer([image], heat=True)
    lesion = open_mask(root, entry.mask_path) if entry.mask_path else np.zeros(image.shape[:2], dtype=bool)
    return Shown.small(image, answer, lesion)
