"""Grids of voxels in space: what the grid of a head may be, whether two are the same, and how they differ."""

from collections.abc import Sequence

import numpy as np
from nibabel.affines import voxel_sizes
from nibabel.orientations import aff2axcodes

from btlib.core.runtime.errors import InputError

MIN_SIDE = 8  # voxels; fewer slices are a scout, not a volume
MAX_VOXELS = 2**26  # 400 mm each way at 1 mm, 200 mm at 0.5 mm; four volumes and the work on them then fit into 6 GiB
VOXEL_SIZES = (0.1, 20.0)  # mm
WIDEST = 400.0  # mm on any side of a scan of a head
SAME_WITHIN = 0.1  # mm between the corners of two grids that count as one: rounding in headers, no movement
WORDS = ("{} voxels", "voxels of {} mm", "axes {}", "origin {} mm")  # what makes up a grid


def check_grid(where: str, shape: Sequence[int], affine: np.ndarray) -> None:
    """Refuses what no scan of a head has, before anything is allocated for it.

    Args:
        where: the file, for the messages.
        shape: (X, Y, Z).
        affine: [4, 4], voxel to mm.

    Raises:
        InputError: too few or too many voxels, too small or too large ones, a field too wide, or no affine.
    """
    sides = by(shape)
    if len(shape) < 3 or min(shape) < MIN_SIDE:
        raise InputError(f"{where}: {sides} voxels, expected a volume of at least {MIN_SIDE} on each side")
    if np.prod(shape, dtype=float) > MAX_VOXELS:
        raise InputError(f"{where}: {sides} voxels by its header, more than the {MAX_VOXELS:,} allowed")
    if not np.isfinite(affine).all():
        raise InputError(f"{where}: the position in its header is NaN or infinite; mend sform and qform")
    sizes, (low, high) = voxel_sizes(affine), VOXEL_SIZES
    if not ((sizes >= low).all() and (sizes <= high).all()):
        raise InputError(
            f"{where}: voxels of {by(sizes)} mm by its header, expected {low} to {high} mm; are its lengths in mm?"
        )
    widths = sizes * shape
    if widths.max() > WIDEST:
        raise InputError(
            f"{where}: {by(widths)} mm wide by its header ({sides} voxels of {by(sizes)} mm), but no head is wider "
            f"than {WIDEST:g} mm; are its lengths in mm?"
        )
    if abs(np.linalg.det(affine[:3, :3] / sizes)) < 0.1:
        raise InputError(f"{where}: by its header two axes of the volume point the same way; mend sform and qform")


def same_grid(shape: Sequence[int], affine: np.ndarray, other_shape: Sequence[int], other: np.ndarray) -> bool:
    """Whether two grids [X, Y, Z] have the same shape, and their corners lie within SAME_WITHIN of each other."""
    return tuple(shape) == tuple(other_shape) and corners_apart(shape, affine, other) <= SAME_WITHIN


def corners_apart(shape: Sequence[int], affine: np.ndarray, other: np.ndarray) -> float:
    """How far, in mm, two affines [4, 4] put the same corner of a grid from each other at most."""
    ends = [(0, side - 1) for side in shape]
    corners = np.stack([*(axis.ravel() for axis in np.meshgrid(*ends)), np.ones(8)])
    return float(np.linalg.norm(((affine - other) @ corners)[:3], axis=0).max())


def differences(shape: Sequence[int], affine: np.ndarray, other_shape: Sequence[int], other: np.ndarray) -> str:
    """What differs between two grids that are not the same: '12×9×10 voxels, not 8×9×10; axes RAS, not LPS'."""
    one, two = _words(shape, affine), _words(other_shape, other)
    found = [
        f"{what.format(here)}, not {there}" for what, here, there in zip(WORDS, one, two, strict=True) if here != there
    ]
    return "; ".join(found) or f"its corners lie up to {corners_apart(shape, affine, other):.2f} mm off"


def _words(shape: Sequence[int], affine: np.ndarray) -> tuple[str, ...]:
    origin = ", ".join(f"{position:.1f}" for position in affine[:3, 3] + 0.0)
    return by(shape), by(voxel_sizes(affine)), "".join(aff2axcodes(affine)), f"({origin})"


def by(lengths: Sequence[float] | np.ndarray) -> str:
    """'1×1×5.5'"""
    return "×".join(f"{length:.5g}" if isinstance(length, float) else str(length) for length in lengths)
