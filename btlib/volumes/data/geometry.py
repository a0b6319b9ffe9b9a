"""Voxel grids in space: orientation, bounding box, and resampling axis by axis.

Voxel (i, j, k) of a grid has its centre at affine @ (i, j, k, 1), in mm, x to the right, y to the front, z up: RAS, as
in NIfTI and nibabel. Conversion to RAS permutes and mirrors axes; an oblique grid stays oblique, so no voxel is
interpolated.
"""

from collections.abc import Sequence

import numpy as np
from nibabel import orientations
from nibabel.affines import from_matvec, voxel_sizes

RAS = orientations.axcodes2ornt("RAS")


def to_ras(volumes: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Permutes and mirrors the axes so that they point right, front and up as closely as possible.

    Args:
        volumes: [..., X, Y, Z].
        affine: [4, 4] of that grid.

    Returns:
        The same voxels in the new order (a view), and the affine of the new grid.
    """
    turns = orientations.io_orientation(affine)
    return _reorient(volumes, turns), affine @ orientations.inv_ornt_aff(turns, volumes.shape[-3:])


def from_ras(volumes: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Inverse of `to_ras`: volumes [..., X, Y, Z] in the order of axes of the grid with this affine."""
    return _reorient(volumes, orientations.ornt_transform(RAS, orientations.io_orientation(affine)))


def _reorient(volumes: np.ndarray, turns: np.ndarray) -> np.ndarray:
    front, back = (0, 1, 2), (-3, -2, -1)  # nibabel reorients the first axes
    return np.moveaxis(orientations.apply_orientation(np.moveaxis(volumes, back, front), turns), front, back)


def bounding_box(mask: np.ndarray) -> tuple[slice, ...]:
    """The smallest box around the true voxels of a nonempty mask, as slices."""
    along = [mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)) for axis in range(mask.ndim)]
    return tuple(slice(hits[0], hits[-1] + 1) for hits in map(np.flatnonzero, along))


def cropped(affine: np.ndarray, box: Sequence[slice]) -> np.ndarray:
    """The affine of `volume[box]`."""
    return affine @ from_matvec(np.eye(3), [side.start for side in box])


def isotropic(
    shape: Sequence[int], affine: np.ndarray, spacing: float
) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """A grid with the same axes and centre and isotropic voxels, just large enough to cover the given one.

    Args:
        shape: (X, Y, Z) of the given grid.
        affine: [4, 4] of the given grid.
        spacing: mm between the new centres.

    Returns:
        For each axis, the new centres in voxels of the given grid; the number of given voxels per new one [3]; the new
        affine [4, 4].
    """
    shape, ratio = np.array(shape), spacing / voxel_sizes(affine)
    size = np.ceil(np.round(shape / ratio, 3)).astype(int)  # rounded: 40.0000001 voxels are 40
    first = (shape - 1) / 2 - (size - 1) / 2 * ratio
    centers = [start + step * np.arange(count) for start, step, count in zip(first, ratio, size, strict=True)]
    return centers, ratio, affine @ from_matvec(np.diag(ratio), first)


def axis_weights(centers: np.ndarray, size: int, ratio: float = 1.0) -> np.ndarray:
    """Weights of an axis's voxels for each new one: linear interpolation, with smoothing if the axis shrinks.

    The kernel is a triangle as wide as the coarser of the two spacings; the same anti-aliasing as in Pillow's BILINEAR
    and PyTorch's `interpolate(mode="bilinear", antialias=True)`. Beyond the outermost centres it decays to zero.

    Args:
        centers: of the new voxels [M], in voxels of the axis.
        size: N, voxels on the axis.
        ratio: voxels of the axis per new one; 1 or less: no smoothing.

    Returns:
        float32 [M, N].
    """
    distances = np.abs(centers[:, None] - np.arange(size)) / max(1.0, ratio)
    closeness = np.maximum(0.0, 1.0 - distances)
    return (closeness / closeness.sum(axis=1, keepdims=True).clip(min=1.0)).astype(np.float32)


def resampled(volume: np.ndarray, weights: Sequence[np.ndarray]) -> np.ndarray:
    """[X, Y, Z] and weights [X', X], [Y', Y], [Z', Z] -> float32 [X', Y', Z'].

    The trilinear kernel is separable, so three matrix products replace a loop over all voxels.
    """
    volume = np.asarray(volume, np.float32)
    for matrix in weights:
        volume = np.tensordot(volume, matrix, axes=(0, 1))  # the new axis is last; after three the order is restored
    return volume
