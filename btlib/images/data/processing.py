"""Preprocesses a whole data set into one array on disk."""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from btlib.core.runtime.artifacts import atomic_path, write_csv
from btlib.core.runtime.workers import in_parallel
from btlib.images.data.preprocessing import Clahe, preprocess
from btlib.images.data.reading import open_image


def write_processed(folder: Path, root: Path, manifest: pd.DataFrame, image_size: int, clahe: Clahe) -> None:
    """Preprocesses every image of the manifest into `folder`/images.npy and index.csv (see `load_processed`).

    Raises:
        InputError: an image has become unreadable, or the disk is full; `folder` is left unchanged.
    """
    job = partial(_load_and_preprocess, root, image_size, clahe)
    with atomic_path(folder) as temporary:
        temporary.mkdir()
        write_csv(temporary / "index.csv", manifest[["image_id", "label"]])
        header = {"descr": "|u1", "fortran_order": False, "shape": (len(manifest), image_size, image_size, 3)}
        with (temporary / "images.npy").open("wb") as file:
            # Plain sequential writes: a full disk then raises an error, while a memory map would crash.
            np.lib.format.write_array_header_1_0(file, header)
            for image in in_parallel(job, list(manifest["path"]), "preprocess"):
                file.write(image.tobytes())


def _load_and_preprocess(root: Path, image_size: int, clahe: Clahe, path: str) -> np.ndarray:
    return preprocess(open_image(root, path), image_size, clahe)
