"""Position in the tumour and brightness in the scans of each number of a segmentation."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy.ndimage import distance_transform_edt, find_objects

MIN_VOXELS = 10  # of a number; fewer are not informative
NORMAL = 1.349  # interquartile range of a normal distribution of standard deviation 1


class Signs(NamedTuple):
    """Signs of the voxels of one number in one case."""

    depth: float  # mean distance from the tumour's surface; 1 is the mean of the whole tumour
    flair: float  # mean, in standard deviations of the normal brain above its median
    uptake: float  # of contrast agent: mean of T1ce − T1, in the same unit
    touching: dict[int, float]  # share of its surface adjacent to each other number


def signs_of(images: Mapping[str, np.ndarray], numbers: np.ndarray, spacing: np.ndarray) -> dict[int, Signs]:
    """The signs of every number with at least MIN_VOXELS voxels.

    Args:
        images: t1, t1ce and flair [X, Y, Z], 0 outside the brain.
        numbers: segmentation on the same grid, integers, 0 where there is no tumour.
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
        if count >= MIN_VOXELS
    }


def _standardised(values: np.ndarray, normal: np.ndarray, box: tuple[slice, ...]) -> np.ndarray:
    """Standardised by the median and quartiles of the normal brain, which are robust to vessels and skull."""
    low, middle, high = np.percentile(values[normal], (25, 50, 75)) if normal.any() else (0.0, 0.0, 0.0)
    return (values[box] - middle) * (NORMAL / (high - low) if high > low else 0.0)


def _touching(numbers: np.ndarray, number: int) -> dict[int, float]:
    """Shares of the faces between voxels of `number` and of each other number."""
    faces = [
        np.concatenate([there[here == number] for here, there in _neighbors(numbers, axis)])
        for axis in range(numbers.ndim)
    ]
    others, counts = np.unique(np.concatenate(faces), return_counts=True)
    surface = max(counts[others != number].sum(), 1)
    return {int(o): float(n / surface) for o, n in zip(others, counts, strict=True) if o not in (0, number)}


def _neighbors(values: np.ndarray, axis: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pairs of adjacent voxels along an axis, in both orders."""
    along = np.moveaxis(values, axis, 0)
    return [(along[:-1], along[1:]), (along[1:], along[:-1])]
