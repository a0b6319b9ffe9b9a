"""Preprocesses a whole data set into one array on disk."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from btlib.core.runtime.artifacts import atomic_path, write_csv
from btlib.core.runtime.workers import in_parallel
from btlib.images.data.lesion_maps import lesion_map, map_without_outline
from btlib.images.data.masks import Masks
from btlib.images.data.preprocessing import GrayLevels, preprocess
from btlib.images.data.reading import open_image


def write_processed(
    folder: Path, root: Path, masks: Masks, manifest: pd.DataFrame, image_size: int, levels: GrayLevels
) -> None:
    """Preprocesses every image of the manifest into `folder`/images.npy and index.csv (see `load_processed`).

    `folder`/lesions.npy has their lesion maps (see `lesion_maps`).

    Raises:
        InputError: an image has become unreadable, or the disk is full; `folder` is left unchanged.
    """
    with atomic_path(folder) as temporary:
        temporary.mkdir()
        write_csv(temporary / "index.csv", manifest[["image_id", "label"]])
        maps = [
            lesion_map(masks.open(path), image_size) if path else map_without_outline(label, image_size)
            for path, label in tqdm(manifest[["mask_path", "label"]].to_numpy(), desc="lesions", leave=False)
        ]
        np.save(temporary / "lesions.npy", np.stack(maps), allow_pickle=False)
        header = {"descr": "|u1", "fortran_order": False, "shape": (len(manifest), image_size, image_size, 3)}
        with (temporary / "images.npy").open("wb") as file:
            # Plain sequential writes: a full disk then raises an error, while a memory map would crash.
            np.lib.format.write_array_header_1_0(file, header)
            for image in _squares(root, list(manifest["path"]), image_size, levels):
                file.write(image.tobytes())


def preprocessed(root: Path, paths: Sequence[str], image_size: int, levels: GrayLevels) -> np.ndarray:
    """Preprocesses the images at `paths`, relative to `root`, in memory.

    Returns:
        uint8 [N, image_size, image_size, 3] RGB.

    Raises:
        InputError: an image is unreadable.
    """
    square = np.dtype((np.uint8, (image_size, image_size, 3)))
    return np.fromiter(_squares(root, paths, image_size, levels), square, len(paths))


def _squares(root: Path, paths: Sequence[str], image_size: int, levels: GrayLevels) -> Iterator[np.ndarray]:
    return in_parallel(partial(_load_and_preprocess, root, image_size, levels), paths, "preprocess")


def _load_and_preprocess(root: Path, image_size: int, levels: GrayLevels, path: str) -> np.ndarray:
    return preprocess(open_image(root, path), image_size, levels)
