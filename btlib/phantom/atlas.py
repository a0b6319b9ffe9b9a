"""Real anatomy from nilearn's bundled MNI152 maps, and noise lattices.

Coordinates are MNI152 millimetres (x right, y anterior, z superior) everywhere in this package.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

BOX_LOW = np.array((-112.0, -150.0, -120.0))
BOX_HIGH = np.array((112.0, 130.0, 120.0))
CLOSING = 8.0  # mm: sulci narrower than twice this are inside the skull's envelope
LATTICE = 64
REACH = 8.0  # mm around the atlas's ventricles, beyond those of any subject


@dataclass(frozen=True)
class Grid:
    """A scalar map: values [X, Y, Z], the position in mm of voxel 0 and the voxel size in mm."""

    values: np.ndarray
    origin: np.ndarray
    spacing: float

    def at(self, points: np.ndarray, outside: float | None = None) -> np.ndarray:
        """Trilinearly interpolated values [N] at points [N, 3] in mm; beyond the grid, the edge value or `outside`."""
        index = (np.ascontiguousarray(points.T) - self.origin[:, None]) / self.spacing
        how = {"mode": "nearest"} if outside is None else {"mode": "constant", "cval": outside}
        return ndimage.map_coordinates(self.values, index, np.float32, order=1, **how)


@dataclass(frozen=True)
class Atlas:
    """Maps of the mean head: tissue probabilities × 255, and signed distances in mm (negative inside)."""

    gm: Grid
    wm: Grid
    envelope: Grid  # to the smooth hull of the brain, at the dura
    ventricles: Grid  # cropped; far away outside
    lattice: np.ndarray  # white noise [64, 64, 64], unit variance

    def noise(self, points: np.ndarray, scale: float, offset: np.ndarray) -> np.ndarray:
        """Smooth noise [N] at points [N, 3], about N(0, 0.5), varying over `scale` mm; `offset` [3] selects it."""
        index = np.ascontiguousarray(points.T) / scale + offset[:, None]
        return ndimage.map_coordinates(self.lattice, index, np.float32, order=1, mode="grid-wrap")


def load_atlas(spacing: float = 1.0) -> Atlas:
    """Loads the maps (under a second, no network) and computes the distances.

    Args:
        spacing: voxel size in mm of the tissue maps. They are stored at 1 mm; larger integers (for tests) take every
            n-th voxel.
    """
    from nilearn import datasets

    images = [load(resolution=1) for load in (datasets.load_mni152_gm_template, datasets.load_mni152_wm_template)]
    step = int(spacing)
    origin = images[0].affine[:3, 3]
    gm, wm = (np.round(np.asarray(i.dataobj) * 255).astype(np.uint8)[::step, ::step, ::step] for i in images)
    brain = (gm.astype(np.float32) + wm) > 0.35 * 255
    coarse = max(2, step)
    envelope = _envelope(brain[:: coarse // step, :: coarse // step, :: coarse // step], origin, float(coarse))
    return Atlas(
        gm=Grid(gm, origin, float(step)),
        wm=Grid(wm, origin, float(step)),
        envelope=envelope,
        ventricles=_ventricles(gm, wm, origin, step, envelope),
        lattice=np.random.default_rng(152).standard_normal((LATTICE,) * 3).astype(np.float32),
    )


def _signed_distance(inside: np.ndarray, spacing: float) -> np.ndarray:
    outer, inner = (ndimage.distance_transform_edt(m, sampling=spacing) for m in (~inside, inside))
    return (outer - inner).astype(np.float32)


def _envelope(brain: np.ndarray, origin: np.ndarray, spacing: float) -> Grid:
    low = np.ceil((origin - BOX_LOW) / spacing).astype(int)
    high = np.ceil((BOX_HIGH - origin) / spacing).astype(int) + 1 - brain.shape
    padded = np.pad(brain, [(max(0, a), max(0, b)) for a, b in zip(low, high, strict=True)])
    dilated = ndimage.distance_transform_edt(~padded, sampling=spacing) < CLOSING
    distance = _signed_distance(dilated, spacing) + CLOSING
    return Grid(ndimage.gaussian_filter(distance, 3 / spacing), origin - np.maximum(low, 0) * spacing, spacing)


def _ventricles(gm: np.ndarray, wm: np.ndarray, origin: np.ndarray, step: int, envelope: Grid) -> Grid:
    stride = max(1, 2 // step)
    tissue = gm[::stride, ::stride, ::stride].astype(np.float32) + wm[::stride, ::stride, ::stride]
    spacing = float(step * stride)
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in tissue.shape), indexing="ij"), -1).reshape(-1, 3)
    points = grid * spacing + origin
    deep = (envelope.at(points) < -24) & (points[:, 2] > -12) & (np.abs(points[:, 0]) < 40)
    fluid = (tissue < 0.5 * 255) & deep.reshape(tissue.shape)
    found, rim = np.argwhere(fluid), round(REACH / spacing)
    first = np.maximum(found.min(0) - rim, 0)
    box = tuple(slice(low, high + rim + 1) for low, high in zip(first, found.max(0), strict=True))
    return Grid(_signed_distance(fluid[box], spacing), origin + first * spacing, spacing)
