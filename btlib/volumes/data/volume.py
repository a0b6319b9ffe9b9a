"""One volume, and what the header of its file says of the place of its voxels."""

from typing import NamedTuple

import numpy as np


class Header(NamedTuple):
    """The two affines of a NIfTI file, [4, 4] from voxel to mm in RAS, and the codes that say in which space they lead.

    sform is any affine, qform a rotation with the voxel sizes; a code of 0: the form says nothing (of qform the voxel
    sizes hold nevertheless).
    """

    sform: np.ndarray
    sform_code: int
    qform: np.ndarray
    qform_code: int


class Volume(NamedTuple):
    """One volume as its file holds it."""

    path: str  # as the manifest names it, relative to the root
    values: np.ndarray  # float32 [X, Y, Z]
    affine: np.ndarray  # float64 [4, 4], voxel to mm, RAS
    positioned: bool  # whether the header says where in space the voxels are
    header: Header | None = None  # as the file has it; None where the file is no NIfTI
    remarks: tuple[str, ...] = ()  # what must be said of the header

    @property
    def grid(self) -> tuple[tuple[int, ...], np.ndarray]:
        return self.values.shape, self.affine
