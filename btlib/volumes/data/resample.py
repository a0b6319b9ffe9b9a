"""Resampling from one voxel grid to another."""

import numpy as np
from scipy.ndimage import affine_transform


def onto_grid(
    values: np.ndarray, affine: np.ndarray, shape: tuple[int, ...], target: np.ndarray, order: int
) -> np.ndarray:
    """Values of one grid at the voxels of another, related by their affines.

    Args:
        values: [X, Y, Z].
        affine: float64 [4, 4], voxels of `values` to mm.
        shape: of the other grid.
        target: float64 [4, 4], the other grid's voxels to mm.
        order: 1 for intensities (linear), 0 for labels (nearest).

    Returns:
        float32 [*shape]; 0 outside the first grid.
    """
    voxel_to_voxel = np.linalg.inv(affine) @ target
    # grid-constant extends the outermost voxels by half a voxel, so that rounding in a header loses no border slice
    return affine_transform(
        values.astype(np.float32, copy=False), voxel_to_voxel, output_shape=shape, order=order, mode="grid-constant"
    )
