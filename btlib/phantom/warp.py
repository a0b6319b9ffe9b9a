"""A subject's shape: a random affine map and smooth elastic displacement of the mean head at two scales."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from btlib.phantom.atlas import Grid

CENTER = np.array((0.0, -18.0, 0.0))
LOW, SIZE, SPACING = -170.0, 44, 8.0
SCALES = ((45.0, 2.2), (20.0, 0.6))  # (correlation length, standard deviation) in mm


@dataclass(frozen=True)
class Warp:
    """Maps points of the subject's head, in mm, to points of the mean head."""

    matrix: np.ndarray
    displacement: tuple[Grid, Grid, Grid]

    def to_atlas(self, points: np.ndarray) -> np.ndarray:
        """Points [N, 3] of the subject -> points [N, 3] of the atlas."""
        moved = np.stack([grid.at(points) for grid in self.displacement])
        center = CENTER[:, None]  # coordinate by coordinate, which is faster in NumPy
        return (self.matrix.astype(np.float32) @ (np.ascontiguousarray(points.T) - center) + center + moved).T

    def from_atlas(self, points: np.ndarray) -> np.ndarray:
        """Inverse of `to_atlas` by fixed-point iteration, to well under 0.1 mm."""
        found = np.array(points, np.float32)
        for _ in range(20):
            found = found - (self.to_atlas(found) - points)
        return found


def sample_warp(rng: np.random.Generator) -> Warp:
    """Draws head size (± 5 %), proportions, shear and elastic displacement."""
    matrix = np.eye(3) + rng.normal(0, 0.015, (3, 3))
    matrix[np.diag_indices(3)] = 1 / (rng.normal(1, 0.03) * rng.normal(1, 0.03, 3))
    grids = []
    for _ in range(3):
        field = np.zeros((SIZE,) * 3, np.float32)
        for length, amplitude in SCALES:
            smooth = ndimage.gaussian_filter(
                rng.standard_normal(field.shape, np.float32), length / 2 / SPACING, mode="wrap"
            )
            field += amplitude * smooth / smooth.std()
        grids.append(Grid(field, np.full(3, LOW), SPACING))
    return Warp(matrix, tuple(grids))
