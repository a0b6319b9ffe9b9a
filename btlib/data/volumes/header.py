"""What the header of a NIfTI file says of the place of its voxels, in both forms that the format has."""

from typing import NamedTuple

import numpy as np


class Header(NamedTuple):
    """The two affines of a file, [4, 4] from voxel to mm in RAS, and the code that says in which space each leads.

    qform is a rotation with voxel sizes, sform any affine; a code of 0 means that the form says nothing.
    """

    sform: np.ndarray
    sform_code: int
    qform: np.ndarray
    qform_code: int
