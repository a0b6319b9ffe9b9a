"""Phantom slices to train on, in the form of the processed images."""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from btlib.core.runtime.artifacts import atomic_path, write_csv
from btlib.core.runtime.workers import in_parallel
from btlib.images.data.lesion_maps import lesion_map, map_size
from btlib.images.data.preprocessing import GrayLevels, preprocess
from btlib.phantom.atlas import Atlas
from btlib.phantom.training_slices import TrainingSlice, training_slices

COLUMNS = ("image_id", "label", "modality", "subject")


def write_phantom_slices(
    folder: Path, subjects: int, seed: int, image_size: int, levels: GrayLevels, atlas: Atlas
) -> pd.DataFrame:
    """Writes the slices of `subjects` phantom subjects to `folder`, for `load_processed` and `load_lesions`.

    The first subjects of a seed are the same for every number of them. Images are grey: uint8 [N, S, S].

    Returns:
        The index, with COLUMNS.
    """
    rows, images, lesions = [], [], []
    made = in_parallel(
        partial(_prepared, seed=seed, image_size=image_size, levels=levels, atlas=atlas),
        range(subjects),
        "phantom slices",
        "subject",
        batch=1,
    )
    for subject, slices in enumerate(made):
        for number, (one, image) in enumerate(slices):
            rows.append((f"phantom-{subject:05d}-{number:02d}", one.label, one.modality, subject))
            images.append(image)
            lesions.append(lesion_map(one.lesion, image_size))
    table = pd.DataFrame(rows, columns=COLUMNS)
    with atomic_path(folder) as temporary:
        temporary.mkdir()
        write_csv(temporary / "index.csv", table)
        for name, values, side in (("images", images, image_size), ("lesions", lesions, map_size(image_size))):
            np.save(temporary / f"{name}.npy", np.array(values, np.uint8).reshape(-1, side, side), allow_pickle=False)
    return table


def _prepared(
    number: int, seed: int, image_size: int, levels: GrayLevels, atlas: Atlas
) -> list[tuple[TrainingSlice, np.ndarray]]:
    """The slices of a subject, each with its image as the network gets it."""
    slices = training_slices(number, seed, image_size, atlas)
    return [(one, preprocess(one.image[..., None].repeat(3, axis=2), image_size, levels)[..., 0]) for one in slices]
