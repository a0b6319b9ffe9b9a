"""Share of the brain covered by each modality, to detect partial scans such as slabs."""

from collections.abc import Mapping, Sequence

import numpy as np
from nibabel.affines import apply_affine

from btlib.volumes.data.conventions import MODALITIES
from btlib.volumes.data.volume import Volume

TISSUE = 0.1  # of a bright voxel (the 99th percentile): above noise in the air
POINTS = 20_000  # sampled from the tissue of a volume, so that a share of 95 % is accurate to 0.3 %


def coverage(volumes: Mapping[str, Volume]) -> dict[str, float]:
    """For each modality, the smallest share that it covers of any modality's tissue.

    Volumes may be on different grids, which are related by their affines.
    """
    names = [name for name in MODALITIES if name in volumes]
    places = [_tissue(volumes[name]) for name in names]
    return {name: min(_covered_shares(volumes[name], places)) for name in names}


def _tissue(volume: Volume) -> np.ndarray:
    """Positions of foreground voxels, [N, 3] in mm."""
    strength = np.abs(volume.values)
    found = np.flatnonzero(strength > TISSUE * np.percentile(strength[strength > 0], 99))
    if len(found) > POINTS:
        found = np.random.default_rng(0).choice(found, POINTS)
    return apply_affine(volume.affine, np.column_stack(np.unravel_index(found, strength.shape)))


def _covered_shares(volume: Volume, places: Sequence[np.ndarray]) -> list[float]:
    """Share of each set of positions [N, 3] in mm that a volume covers.

    A position is covered if it is between nonzero values along each of the three axes: this includes fluid of value 0
    within the brain, but neither empty slices nor the outside of an oblique slab.
    """
    present = volume.values != 0
    first = [present.argmax(axis) for axis in range(3)]
    last = [side - 1 - np.flip(present, axis).argmax(axis) for axis, side in enumerate(present.shape)]
    filled = [present.any(axis) for axis in range(3)]
    shares = []
    for voxels in (np.rint(apply_affine(np.linalg.inv(volume.affine), one)).astype(int) for one in places):
        inside = ((voxels >= 0) & (voxels < present.shape)).all(axis=1)
        held = voxels[inside].T
        within = np.ones(held.shape[1], bool)
        for axis, along in enumerate(held):
            line = tuple(np.delete(held, axis, axis=0))
            within &= filled[axis][line] & (first[axis][line] <= along) & (along <= last[axis][line])
        shares.append(float(within.sum() / len(voxels)))
    return shares
