"""Preprocessing of a decoded image to the square uint8 array for the networks (paper 4.1, eq 1)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import pandas as pd
from pydantic import Field

from btlib.core.runtime.artifacts import read_array, read_csv
from btlib.core.runtime.errors import InputError
from btlib.images.data.lesion_maps import map_size

NO_BACKGROUND = ""  # in the index of phantom slices: not pasted into an image
AIR = 10  # grey level up to which a pixel is not part of the head


@dataclass(frozen=True)
class Clahe:
    """Settings of eq 1; the bounds apply when a model's card is read."""

    enabled: bool
    clip_limit: Annotated[float, Field(gt=0, le=1000)]  # α, OpenCV's clip limit
    tiles: Annotated[int, Field(ge=1, le=1024)]  # τ, tiles per side


@dataclass(frozen=True)
class GrayLevels:
    """What is done to grey levels; whatever has the same fields, such as section images of params.yaml, may be used."""

    white_percentile: float | None  # of the grey levels above AIR, which becomes white; None: as they are
    clahe: Clahe


def preprocess(image: np.ndarray, image_size: int, levels: GrayLevels) -> np.ndarray:
    """Scales grey levels, applies CLAHE (each if switched on) and resizes; also used for prediction.

    Args:
        image: uint8 [H, W, 3] RGB.
        image_size: S, pixels; the image is stretched to a square, as in the paper.

    Returns:
        uint8 [S, S, 3] RGB.
    """
    if levels.white_percentile is not None:
        image = brighten(image, levels.white_percentile)
    if levels.clahe.enabled:
        image = equalise(image, levels.clahe.clip_limit, levels.clahe.tiles)
    height, width = (min(side, image_size) for side in image.shape[:2])
    shrunk = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return cv2.resize(shrunk, (image_size, image_size), interpolation=cv2.INTER_LINEAR)


def shrink(images: np.ndarray, size: int) -> np.ndarray:
    """uint8 [N, S, S, …] to [N, size, size, …], size ≤ S, each new pixel the mean of its area."""
    return np.stack([cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA) for image in images])


def brighten(image: np.ndarray, percentile: float) -> np.ndarray:
    """Multiplies grey levels so that this percentile of those above AIR becomes white; uint8 [H, W, 3], in and out.

    Windows differ between hospitals, and the brightest pixels are vessels or artefacts.
    """
    value = image.max(axis=2)
    head = value[value > AIR]
    return cv2.convertScaleAbs(image, alpha=255 / np.percentile(head, percentile)) if head.size else image


def equalise(image: np.ndarray, clip_limit: float, tiles: int) -> np.ndarray:
    """CLAHE on the V channel of HSV (eq 1); hue and saturation are unchanged. uint8 [H, W, 3] RGB, in and out."""
    hue, saturation, value = cv2.split(cv2.cvtColor(image, cv2.COLOR_RGB2HSV))
    value = cv2.createCLAHE(clip_limit, (tiles, tiles)).apply(value)
    return cv2.cvtColor(cv2.merge((hue, saturation, value)), cv2.COLOR_HSV2RGB)


def load_lesions(folder: Path, images: np.ndarray) -> np.ndarray:
    """Opens the lesion maps uint8 [N, h, w] that belong to the images of `load_processed`; see `lesion_maps`.

    Raises:
        InputError: the file is missing or truncated, or does not belong to the images.
    """
    lesions = read_array(folder / "lesions.npy")
    wanted = (len(images), *(map_size(images.shape[1]),) * 2)
    if lesions.shape != wanted or lesions.dtype != np.uint8:
        raise InputError(
            f"{folder}: lesions.npy is {lesions.dtype} {lesions.shape}, expected uint8 {wanted}; delete the folder and "
            "run the stage that writes it again (`dvc repro`)"
        )
    return lesions


def load_processed(folder: Path) -> tuple[np.ndarray, pd.DataFrame]:
    """Opens the output of stage preprocess_images, or of phantom_slices.

    Returns:
        Images, memory-mapped uint8 [N, S, S, 3] RGB (phantoms: [N, S, S]), and their index, one row per image, with
        `image_id, label` (phantoms: also `background`).

    Raises:
        InputError: a file is missing or truncated, or the two do not match.
    """
    images = read_array(folder / "images.npy")
    index = read_csv(folder / "index.csv", text=("image_id", "label", "background"))
    if len(images) != len(index):
        raise InputError(
            f"{folder}: images.npy has {len(images)} images, index.csv {len(index)}; "
            "delete the folder and run `dvc repro preprocess_images`"
        )
    return images, index
