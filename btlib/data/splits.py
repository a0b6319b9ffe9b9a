"""Who trains, who validates, who tests."""

import numpy as np
import pandas as pd

from btlib.errors import InputError

SPLITS = ("train", "val", "test")


def rows_of(splits: pd.DataFrame, index: pd.DataFrame, split: str) -> np.ndarray:
    """Row numbers, ascending, of one split's images in images.npy.

    Args:
        splits: `image_id, split`.
        index: `image_id, label`, one row per row of images.npy.
        split: `train`, `val` or `test`.

    Raises:
        InputError: the two tables do not hold the same images, which means that one of them is stale.
    """
    assert split in SPLITS, split
    strangers = set(splits["image_id"]) ^ set(index["image_id"])
    if strangers:
        raise InputError(
            f"the split table and the image index differ in {len(strangers)} images, for example "
            f"'{min(strangers)}'; run `dvc repro preprocess_images split_images`"
        )
    chosen = index["image_id"].map(splits.set_index("image_id")["split"]) == split
    return np.flatnonzero(chosen.to_numpy())
