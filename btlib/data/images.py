"""From a decoded image to the square uint8 array that nets see (paper 4.1, eq 1)."""

from pathlib import Path

import numpy as np
import pandas as pd

from btlib.artifacts import read_array, read_csv
from btlib.errors import InputError


def load_processed(folder: Path) -> tuple[np.ndarray, pd.DataFrame]:
    """Opens what stage preprocess_images wrote.

    Returns:
        images, memory-mapped uint8 [N, S, S, 3] RGB, and their index `image_id, label`, one row per image.

    Raises:
        InputError: a file is missing, cut short, or the two do not belong together.
    """
    images = read_array(folder / "images.npy")
    index = read_csv(folder / "index.csv", text=("image_id", "label"))
    if len(images) != len(index):
        raise InputError(
            f"{folder}: images.npy holds {len(images)} images, index.csv {len(index)}; "
            "delete the folder and run `dvc repro preprocess_images`"
        )
    return images, index
