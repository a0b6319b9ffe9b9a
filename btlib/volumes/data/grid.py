"""Voxel grids in space: plausibility for a head, equality, and differences."""

from collections.abc import Sequence

import numpy as np
from nibabel.affines import voxel_sizes
from nibabel.orientations import aff2axcodes

from btlib.core.runtime.errors import InputError

MIN_SIDE = 8  # voxels; fewer slices are a scout, not a volume
MAX_VOXELS = 2**26  # 400 mm each way at 1 mm, 200 mm at 0.5 mm; processing four such volumes fits into 6 GiB
VOXEL_SIZES = (0.1, 20.0)  # mm
MAX_WIDTH = 400.0  # mm along any axis of a head scan
SAME_WITHIN = 0.1  # mm between the corners of equal grids: rounding in headers, not motion
WORDS = ("{} voxels", "voxels of {} mm", "axes {}", "origin {} mm")  # properties of a grid


def check_grid(where: str, shape: Sequence[int], affine: np.ndarray) -> None:
    """Refuses grids that are impossible for a head scan, before memory is allocated for them.

    Args:
        where: the file, for messages.
        shape: (X, Y, Z).
        affine: [4, 4], voxel to mm.

    Raises:
        InputError: too few or too many voxels, too small or too large ones, too wide a field, or an invalid affine.
    """
    sides = by(shape)
    if len(shape) < 3 or min(shape) < MIN_SIDE:
        raise InputError(f"{where}: {sides} voxels, expected a volume of at least {MIN_SIDE} on each side")
    if np.prod(shape, dtype=float) > MAX_VOXELS:
        raise InputError(f"{where}: {sides} voxels by its header, more than the {MAX_VOXELS:,} allowed")
    if not np.isfinite(affine).all():
        raise InputError(f"{where}: the position in its header is NaN or infinite; repair sform and qform")
    sizes, (low, high) = voxel_sizes(affine), VOXEL_SIZES
    if not ((sizes >= low).all() and (sizes <= high).all()):
        raise InputError(
            f"{where}: voxels of {by(sizes)} mm by its header, expected {low} to {high} mm; are its lengths in mm?"
        )
    widths = sizes * shape
    if widths.max() > MAX_WIDTH:
        raise InputError(
            f"{where}: {by(widths)} mm wide by its header ({sides} voxels of {by(sizes)} mm), but no head is wider "
            f"than {MAX_WIDTH:g} mm; are its lengths in mm?"
        )
    if abs(np.linalg.det(affine[:3, :3] / sizes)) < 0.1:
        raise InputError(f"{where}: by its header two axes of the volume are parallel; repair sform and qform")


def same_grid(shape: Sequence[int], affine: np.ndarray, other_shape: Sequence[int], other: np.ndarray) -> bool:
    """Whether two grids [X, Y, Z] have the same shape, and corners within SAME_WITHIN of each other."""
    return tuple(shape) == tuple(other_shape) and corners_apart(shape, affine, other) <= SAME_WITHIN


def corners_apart(shape: Sequence[int], affine: np.ndarray, other: np.ndarray) -> float:
    """Largest distance in mm between the positions of a grid's corners by two affines [4, 4]."""
    ends = [(0, side - 1) for side in shape]
    corners = np.stack([*(axis.ravel() for axis in np.meshgrid(*ends)), np.ones(8)])
    return float(np.linalg.norm(((affine - other) @ corners)[:3], axis=0).max())


def differences(shape: Sequence[int], affine: np.ndarray, other_shape: Sequence[int], other: np.ndarray) -> str:
    """Differences between two unequal grids: '12×9×10 voxels, not 8×9×10; axes RAS, not LPS'."""
    one, two = _words(shape, affine), _words(other_shape, other)
    found = [
        f"{what.format(here)}, not {there}" for what, here, there in zip(WORDS, one, two, strict=True) if here != there
    ]
    return "; ".join(found) or f"its corners are up to {corners_apart(shape, affine, other):.2f} mm off"


def _words(shape: Sequence[int], affine: np.ndarray) -> tuple[str, ...]:
    origin = ", ".join(f"{position:.1f}" for position in affine[:3, 3] + 0.0)
    return by(shape), by(voxel_sizes(affine)), "".join(aff2axcodes(affine)), f"({origin})"


def by(lengths: Sequence[float] | np.ndarray) -> str:
    """'1×1×5.5'"""
    return "×".join(f"{length:.5g}" if isinstance(length, float) else str(length) for length in lengths)
