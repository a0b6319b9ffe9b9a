"""Values on one grid of voxels in space, brought onto another."""

import numpy as np
from scipy.ndimage import affine_transform


def onto_grid(
    values: np.ndarray, affine: np.ndarray, shape: tuple[int, ...], target: np.ndarray, order: int
) -> np.ndarray:
    """Values on one grid, read off at the voxels of another, through the millimetres that both affines lead to.

    Args:
        values: [X, Y, Z].
        affine: float64 [4, 4], its voxels to mm.
        shape: of the other grid.
        target: float64 [4, 4], the other grid's voxels to mm.
        order: 1 for intensities (linear), 0 for labels (nearest).

    Returns:
        float32 [*shape]; 0 where the first grid does not reach.
    """
    voxel_to_voxel = np.linalg.inv(affine) @ target
    # grid-constant: the outermost voxels reach half a voxel out, so that rounding of a header loses no border slice
    return affine_transform(
        values.astype(np.float32, copy=False), voxel_to_voxel, output_shape=shape, order=order, mode="grid-constant"
    )
