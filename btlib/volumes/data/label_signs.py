"""What the scans show of each number of a segmentation: where it lies in the tumour, and how bright it is there."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy.ndimage import distance_transform_edt, find_objects

FEWEST = 10  # voxels of a number, below which they tell nothing
NORMAL = 1.349  # interquartile range of a normal distribution of standard deviation 1


class Signs(NamedTuple):
    """The voxels of one number of one case."""

    depth: float  # mean distance from the tumour's surface; 1 is the mean of the whole tumour
    flair: float  # mean, in standard deviations of the normal brain above its median
    uptake: float  # of contrast: the mean of T1ce less T1, in the same unit
    touching: dict[int, float]  # share of its surface that touches each other number


def signs_of(images: Mapping[str, np.ndarray], numbers: np.ndarray, spacing: np.ndarray) -> dict[int, Signs]:
    """The signs of every number with at least FEWEST voxels.

    Args:
        images: t1, t1ce and flair [X, Y, Z], 0 outside the brain.
        numbers: of a segmentation on the same grid, whole, 0 where there is no tumour.
        spacing: of the grid [3], mm.
    """
    counts = {number: count for number, count in zip(*np.unique(numbers, return_counts=True), strict=True) if number}
    if not counts:
        return {}
    normal = (images["t1ce"] != 0) & (numbers == 0)
    (box,) = find_objects((numbers != 0).astype(np.uint8))
    bright = {name: _standardised(images[name], normal, box) for name in ("t1", "t1ce", "flair")}
    inside = numbers[box]
    depths = distance_transform_edt(np.pad(inside != 0, 1), sampling=spacing)[1:-1, 1:-1, 1:-1]
    mean_depth = depths[inside != 0].mean()
    return {
        int(number): Signs(
            depth=float(depths[inside == number].mean() / mean_depth),
            flair=float(np.mean(bright["flair"][inside == number])),
            uptake=float(np.mean((bright["t1ce"] - bright["t1"])[inside == number])),
            touching=_touching(np.pad(inside, 1), number),
        )
        for number, count in counts.items()
        if count >= FEWEST
    }


def _standardised(values: np.ndarray, normal: np.ndarray, box: tuple[slice, ...]) -> np.ndarray:
    """By the median and the quartiles of the normal brain, which hardly heed vessels and skull."""
    low, middle, high = np.percentile(values[normal], (25, 50, 75)) if normal.any() else (0.0, 0.0, 0.0)
    return (values[box] - middle) * (NORMAL / (high - low) if high > low else 0.0)


def _touching(numbers: np.ndarray, number: int) -> dict[int, float]:
    """By the faces between voxels of `number` and voxels of each other number."""
    faces = [
        np.concatenate([there[here == number] for here, there in _neighbors(numbers, axis)])
        for axis in range(numbers.ndim)
    ]
    others, counts = np.unique(np.concatenate(faces), return_counts=True)
    surface = max(counts[others != number].sum(), 1)
    return {int(o): float(n / surface) for o, n in zip(others, counts, strict=True) if o not in (0, number)}


def _neighbors(values: np.ndarray, axis: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Every voxel beside the next one along an axis, and the next one beside it."""
    along = np.moveaxis(values, axis, 0)
    return [(along[:-1], along[1:]), (along[1:], along[:-1])]
