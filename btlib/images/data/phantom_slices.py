"""Phantom slices to train on, in the form of the processed images."""

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from btlib.core.runtime.artifacts import atomic_path, write_csv
from btlib.core.runtime.workers import in_parallel
from btlib.images.data.lesion_maps import lesion_map, map_size
from btlib.images.data.preprocessing import NO_BACKGROUND, GrayLevels, preprocess
from btlib.phantom.atlas import Atlas
from btlib.phantom.training_slices import training_slices

COLUMNS = ("image_id", "label", "modality", "subject", "background")


class Slice(NamedTuple):
    """A grey image [S, S] uint8 as the network gets it, with its lesion map (see `lesion_maps`) and class.

    `subject` is the number of the phantom that the lesion is from, `background` the image_id of the image of the data
    set that it was pasted into.
    """

    image: np.ndarray
    lesion: np.ndarray
    label: str
    modality: str
    subject: int
    background: str = NO_BACKGROUND


def phantom_slices(subjects: int, seed: int, image_size: int, levels: GrayLevels, atlas: Atlas) -> Iterator[Slice]:
    """The slices of the first `subjects` phantom subjects, which are the same for every number of them."""
    made = partial(_prepared, seed=seed, image_size=image_size, levels=levels, atlas=atlas)
    for slices in in_parallel(made, range(subjects), "phantom slices", "subject", batch=1):
        yield from slices


def write_slices(folder: Path, slices: Iterable[Slice], image_size: int) -> pd.DataFrame:
    """Writes them to `folder`, for `load_processed` and `load_lesions`: images are grey, uint8 [N, S, S].

    Returns:
        The index, with COLUMNS.
    """
    rows, images, lesions = [], [], []
    for number, one in enumerate(slices):
        rows.append((f"phantom-{number:06d}", one.label, one.modality, one.subject, one.background))
        images.append(one.image)
        lesions.append(one.lesion)
    table = pd.DataFrame(rows, columns=COLUMNS)
    with atomic_path(folder) as temporary:
        temporary.mkdir()
        write_csv(temporary / "index.csv", table)
        for name, values, side in (("images", images, image_size), ("lesions", lesions, map_size(image_size))):
            np.save(temporary / f"{name}.npy", np.array(values, np.uint8).reshape(-1, side, side), allow_pickle=False)
    return table


def _prepared(number: int, seed: int, image_size: int, levels: GrayLevels, atlas: Atlas) -> list[Slice]:
    """The slices of a subject."""
    return [
        Slice(
            preprocess(one.image[..., None].repeat(3, axis=2), image_size, levels)[..., 0],
            lesion_map(one.lesion, image_size),
            one.label,
            one.modality,
            number,
        )
        for one in training_slices(number, seed, image_size, atlas)
    ]
