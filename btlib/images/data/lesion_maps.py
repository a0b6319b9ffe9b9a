"""Lesion maps: how much of each cell of an image is lesion, on a grid of a quarter of its size.

uint8 [h, w] from 0 to FULL. An image without a tumour has none, by its class; UNKNOWN throughout where the outline of a
tumour is not known.
"""

import cv2
import numpy as np

from btlib.images.data.tumor_or_none import NONE

CELL = 4  # pixels per side of a cell
FULL = 254
UNKNOWN = 255


def map_size(image_size: int) -> int:
    """Cells per side for images of `image_size` pixels per side."""
    return max(1, image_size // CELL)


def lesion_map(mask: np.ndarray, image_size: int) -> np.ndarray:
    """The map of an outline, bool [H, W] of any size, for images of `image_size` pixels per side."""
    side = map_size(image_size)
    shares = cv2.resize(mask.astype(np.float32), (side, side), interpolation=cv2.INTER_AREA)
    return np.rint(shares * FULL).astype(np.uint8)


def map_without_outline(label: str, image_size: int) -> np.ndarray:
    """The map of an image of a class for which there is no outline: empty without a tumour, else unknown."""
    return np.full((map_size(image_size),) * 2, 0 if label == NONE else UNKNOWN, np.uint8)


def shrink_maps(maps: np.ndarray, image_size: int) -> np.ndarray:
    """Maps [N, h, w] for the same images at `image_size`, which is no larger."""
    side = map_size(image_size)
    known = maps[:, 0, 0] != UNKNOWN
    shrunk = [cv2.resize(one, (side, side), interpolation=cv2.INTER_AREA) for one in maps]
    small = np.stack(shrunk) if shrunk else np.empty((0, side, side), np.uint8)
    small[~known] = UNKNOWN
    return small
