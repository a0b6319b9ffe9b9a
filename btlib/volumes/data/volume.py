"""One volume, and the positions of its voxels by its file's header."""

from typing import NamedTuple

import numpy as np


class Header(NamedTuple):
    """The two affines of a NIfTI file, [4, 4] from voxel to mm in RAS, and the codes of their target spaces.

    sform is any affine, qform a rotation with the voxel sizes; with code 0 a form is undefined (qform's voxel sizes are
    still valid).
    """

    sform: np.ndarray
    sform_code: int
    qform: np.ndarray
    qform_code: int


class Volume(NamedTuple):
    """One volume as in its file."""

    path: str  # as in the manifest, relative to the root
    values: np.ndarray  # float32 [X, Y, Z]
    affine: np.ndarray  # float64 [4, 4], voxel to mm, RAS
    positioned: bool  # whether the header defines the voxels' positions in space
    header: Header | None = None  # of the file; None if it is not NIfTI
    remarks: tuple[str, ...] = ()  # on the header

    @property
    def grid(self) -> tuple[tuple[int, ...], np.ndarray]:
        return self.values.shape, self.affine
