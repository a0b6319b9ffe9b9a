"""Tumours typical of their class: site, shape, composition and mass effect.

A tumour is defined in coordinates of the mean head; the subject's warp deforms it together with the head.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from btlib.phantom.atlas import Atlas
from btlib.phantom.head import SELLA, Noise
from btlib.phantom.shapes import at_rows
from btlib.phantom.tissues import INDEX, Mixture, ramp

LABELS = ("glioma", "meningioma", "no_tumor", "pituitary")
LESION_LABELS = {"none": 0, "necrotic_core": 1, "edema": 2, "enhancing": 3}  # in the order of BraTS


@dataclass(frozen=True)
class Tumor:
    """One tumour; lengths in mm, positions in the mean head.

    A bulk of one or more balls with a rough surface, necrotic inside `rim`, enhancing by `uptake`, surrounded by
    oedema; `push` is the displacement of the brain relative to the radius.
    """

    kind: str  # glioma, meningioma or pituitary
    centers: np.ndarray  # [B, 3]
    radii: np.ndarray  # [B]
    stretch: np.ndarray  # [3, 3] volume-preserving deformation of the balls
    roughness: float  # relative to the radius
    edge: float  # width of the border
    rim: float  # thickness of the wall around necrosis; the radius or more: no necrosis
    uptake: float  # enhancement: 0 none, 1 full
    patchiness: float
    edema: float  # reach
    push: float
    anchor: np.ndarray  # [3] the dura or sella point that it grows from; a glioma's centre
    tail: float  # reach of a dural tail
    cleft: float  # opacity of the rim of fluid between tumour and brain
    core: float = 1.0  # opacity of the interior: 1 is necrosis, less is a fluid-rich matrix
    infiltration: float = 0.12  # of grey matter by oedema: 0 none, 1 as of white matter

    @property
    def center(self) -> np.ndarray:
        return self.centers[0]

    @property
    def radius(self) -> float:
        return float(self.radii[0])

    def sources(self, points: np.ndarray, depth: np.ndarray) -> np.ndarray:
        """Original position of the brain tissue now at `points` [N, 3].

        The displacement of an incompressible medium by a cavity of radius push × radius at the centre, fading towards
        the rigid skull.
        """
        offset = points - self.center
        distance = np.sqrt((offset * offset).sum(1)) + 1e-3
        opened = self.push * self.radius
        before = np.cbrt(np.maximum(distance**3 - opened**3, 0.0))
        give = np.clip(-depth / 12, 0, 1)
        return points - offset * (give * (1 - before / distance))[:, None]

    def distance(self, points: np.ndarray, noise: Noise) -> np.ndarray:
        """Distance in mm to the rough surface of the bulk, negative inside."""
        nearest = np.full(len(points), np.inf, np.float32)
        for center, radius in zip(self.centers, self.radii, strict=True):
            offset = (points - center) @ self.stretch
            nearest = np.minimum(nearest, np.sqrt((offset * offset).sum(1)) - radius)
        size = self.radius
        rough = noise(points, max(0.55 * size, 4.0)) + 0.4 * noise(points, max(0.22 * size, 2.5))
        return nearest + self.roughness * size * rough

    @property
    def reach(self) -> float:
        """Radius in mm around the centre that contains all of the tumour's effects."""
        spread = np.sqrt(((self.centers - self.center) ** 2).sum(1)).max()
        return float(spread + 2.0 * self.radii.max() + max(self.edema, self.tail) + 4)


def sample_tumor(rng: np.random.Generator, label: str, atlas: Atlas) -> Tumor | None:
    """Draws a tumour of a class; None for no_tumor."""
    if label == "no_tumor":
        return None
    return {"glioma": _glioma, "meningioma": _meningioma, "pituitary": _pituitary}[label](rng, atlas)


def sample_site(rng: np.random.Generator, atlas: Atlas) -> np.ndarray:
    """A potential tumour site, [3], through which healthy subjects are sliced."""
    label = str(rng.choice(["glioma", "meningioma", "pituitary"], p=[0.4, 0.4, 0.2]))
    return sample_tumor(rng, label, atlas).center


def paint_tumor(mixture: Mixture, tumor: Tumor, points: np.ndarray, depth: np.ndarray, noise: Noise) -> None:
    """Paints a tumour over the brain.

    Args:
        points, depth: as for `paint_brain`.
    """
    rows = np.flatnonzero(((points - tumor.center) ** 2).sum(1) < tumor.reach**2)
    where, inside = at_rows(points, rows), depth[rows]
    distance = tumor.distance(where, noise)
    brain = mixture.fractions[rows][:, [INDEX["gm"], INDEX["wm"]]]
    if tumor.kind == "glioma":
        distance = _follow_white_matter(distance, brain)
    limit = _limit(tumor, inside)
    if tumor.edema > 0:
        mixture.paint("edema", limit * _edema(tumor, distance, where, brain, noise), rows)
    if tumor.cleft > 0:
        mixture.paint("csf", tumor.cleft * limit * ramp(np.abs(distance - 0.9) - 0.7), rows)
    bulk = limit * ramp(distance, tumor.edge)
    mixture.paint("tumor", bulk, rows)
    patches = np.clip(1 + tumor.patchiness * (0.7 * noise(where, 4.0) + noise(where, 8.0)), 0, 1)
    mixture.paint("enhancing", bulk * np.clip(tumor.uptake * patches, 0, 1), rows)
    if tumor.rim < tumor.radius:
        wall = tumor.rim * np.clip(1 + 0.55 * noise(where, 7.0) + 0.3 * noise(where, 3.5), 0.35, 2)
        mixture.paint("necrosis", tumor.core * bulk * ramp(distance + wall, 1.8), rows)
    if tumor.tail > 0:
        mixture.paint("enhancing", _dural_tail(tumor, where, inside), rows)


class Outlining(NamedTuple):
    """How faint a tissue may be to be outlined: oedema from this share of a voxel, and enhancing tumour from this
    share of the core beside it."""

    edema: float = 0.5
    enhancing: float = 0.4


CLEAR = Outlining()


def lesion_labels(mixture: Mixture, outlining: Outlining = CLEAR) -> np.ndarray:
    """Label [N] uint8 of each point as in LESION_LABELS: the largest lesion tissue if lesion is at least half, apart
    from what `outlining` says."""
    parts = mixture.fractions[:, [INDEX[name] for name in ("necrosis", "tumor", "edema", "enhancing")]]
    core, enhancing, edema = parts[:, 0] + parts[:, 1], parts[:, 3], parts[:, 2]
    labels = np.zeros(len(parts), np.uint8)
    labels[edema >= outlining.edema] = LESION_LABELS["edema"]
    bulk = core + enhancing >= 0.5
    enhances = enhancing > outlining.enhancing * core
    labels[bulk] = np.where(enhances, LESION_LABELS["enhancing"], LESION_LABELS["necrotic_core"])[bulk]
    return labels


def _follow_white_matter(distance: np.ndarray, brain: np.ndarray) -> np.ndarray:
    return distance - np.where(distance > -2, 3.0 * (brain[:, 1] - 0.6), 0)


def _limit(tumor: Tumor, depth: np.ndarray) -> np.ndarray:
    """Allowed region of a tumour: inside the brain for a glioma, inside the dura for a meningioma, else anywhere."""
    if tumor.kind == "pituitary":
        return np.ones_like(depth)
    return ramp(depth - 1.5 if tumor.kind == "meningioma" else depth + 1.5, 1.5)


def _edema(tumor: Tumor, distance: np.ndarray, where: np.ndarray, brain: np.ndarray, noise: Noise) -> np.ndarray:
    # Fluid spreads along white matter and stops at the cortex: the fingers of vasogenic oedema.
    spread = np.clip(1 - distance / tumor.edema, 0, 1)
    fingers = np.clip(spread * 1.6 + 0.25 * noise(where, 9.0), 0, 1) * (spread > 0)
    return fingers * np.clip(0.95 * brain[:, 1] + tumor.infiltration * brain[:, 0], 0, 1)


def _dural_tail(tumor: Tumor, where: np.ndarray, depth: np.ndarray) -> np.ndarray:
    along = np.sqrt(((where - tumor.anchor) ** 2).sum(1)) - 0.75 * tumor.radius
    thickness = 3.2 * np.clip(1 - along / tumor.tail, 0, 1)
    return ramp(-(depth - 1.5) - thickness) * ramp(depth - 1.5) * (thickness > 0.3)


def random_stretch(rng: np.random.Generator, spread: float) -> np.ndarray:
    """Symmetric matrix [3, 3] of determinant 1 that turns balls into ellipsoids; `spread`: sigma of the log axes."""
    axes, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    scale = np.exp(rng.normal(0, spread, 3))
    return (axes * (scale / np.cbrt(scale.prod()))) @ axes.T


def balls(rng: np.random.Generator, center: np.ndarray, radius: float, extra: int) -> tuple[np.ndarray, np.ndarray]:
    """Centres [1 + extra, 3] and radii [1 + extra] of a ball and smaller ones on its surface."""
    directions = rng.standard_normal((extra, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True) + 1e-9
    sizes = radius * rng.uniform(0.4, 0.75, extra)
    return np.vstack([center, center + directions * (0.85 * radius)]), np.concatenate([[radius], sizes])


def multifocal(
    rng: np.random.Generator, centers: np.ndarray, radii: np.ndarray, sites: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The balls of a lesion with one to three further lesions, smaller than its first ball, elsewhere among the sites
    [M, 3]."""
    extra = int(rng.integers(1, 4))
    further = np.stack([pick(rng, sites) for _ in range(extra)])
    return np.vstack([centers, further]), np.concatenate([radii, rng.uniform(0.25, 0.7, extra) * radii[0]])


def _glioma(rng: np.random.Generator, atlas: Atlas) -> Tumor:
    center = pick(rng, white_matter_sites(atlas))
    radius = rng.uniform(13, 29)
    centers, radii = balls(rng, center, radius, int(rng.integers(0, 4)))
    low_grade = rng.random() < 0.2
    ring = rng.random() < 0.7
    return Tumor(
        kind="glioma",
        centers=centers,
        radii=radii,
        stretch=random_stretch(rng, 0.22),
        roughness=rng.uniform(0.1, 0.22),
        edge=rng.uniform(5, 9) if low_grade else rng.uniform(1.5, 3.5),
        rim=radius if low_grade or not ring else rng.uniform(0.14, 0.4) * radius,
        uptake=rng.choice([0.0, 0.15]) if low_grade else rng.uniform(0.45, 0.95),
        patchiness=rng.uniform(0.2, 0.7),
        edema=rng.uniform(4, 10) if low_grade else rng.uniform(7, 26),
        push=rng.uniform(0.3, 0.85),
        anchor=center,
        tail=0.0,
        cleft=0.0,
    )


def _meningioma(rng: np.random.Generator, atlas: Atlas) -> Tumor:
    radius = rng.uniform(11, 27)
    anchor, inward = _dural_site(rng, atlas)
    center = anchor + inward * radius * rng.uniform(0.45, 0.9)
    centers, radii = balls(rng, center, radius, int(rng.integers(0, 3)))
    cystic = rng.random() < 0.1
    return Tumor(
        kind="meningioma",
        centers=centers,
        radii=radii * 0.98,
        stretch=random_stretch(rng, 0.12),
        roughness=rng.uniform(0.03, 0.1),
        edge=1.2,
        rim=0.6 * radius if cystic else radius,
        uptake=rng.uniform(0.6, 1.0),
        patchiness=rng.uniform(0.0, 0.2),
        edema=rng.uniform(4, 18) if rng.random() < 0.4 else 0.0,
        push=rng.uniform(0.8, 1.0),
        anchor=anchor,
        tail=rng.uniform(8, 24) if rng.random() < 0.7 else 0.0,
        cleft=rng.uniform(0.3, 0.8) if rng.random() < 0.6 else 0.0,
    )


def _pituitary(rng: np.random.Generator, atlas: Atlas) -> Tumor:
    radius = rng.uniform(6, 10) if rng.random() < 0.4 else rng.uniform(10, 17)
    center = SELLA + np.array((rng.normal(0, 1.5), rng.normal(0, 1.0), 0.3 * (radius - 5)))
    # Large ones rise through the diaphragm of the sella: a second ball above, with a waist between.
    above = center + np.array((rng.normal(0, 1.5), rng.normal(-1, 1.0), radius * rng.uniform(0.7, 1.1)))
    suprasellar = radius > 8 and rng.random() < 0.8
    return Tumor(
        kind="pituitary",
        centers=np.vstack([center, above]) if suprasellar else center[None],
        radii=np.array([radius, radius * rng.uniform(0.65, 1.05)])[: 2 if suprasellar else 1],
        stretch=random_stretch(rng, 0.1),
        roughness=rng.uniform(0.04, 0.12),
        edge=1.2,
        rim=0.55 * radius if rng.random() < 0.2 else radius,
        uptake=rng.uniform(0.4, 0.95),
        patchiness=rng.uniform(0.0, 0.35),
        edema=0.0,
        push=rng.uniform(0.7, 0.95),
        anchor=SELLA,
        tail=0.0,
        cleft=0.0,
    )


def pick(rng: np.random.Generator, rows: np.ndarray) -> np.ndarray:
    """One of the rows."""
    return rows[rng.integers(len(rows))].astype(float)


def white_matter_sites(atlas: Atlas) -> np.ndarray:
    """Positions [M, 3] in deep white matter of the hemispheres, off the midline."""
    step = max(1, round(3 / atlas.wm.spacing))
    index = np.argwhere(atlas.wm.values[::step, ::step, ::step] > 0.8 * 255) * step
    points = index * atlas.wm.spacing + atlas.wm.origin
    x, y, z = points.T
    hemisphere = (np.abs(x) > 13) & (z > -20) & ~((y < -40) & (z < -8))
    return points[hemisphere & (atlas.envelope.at(points) < -11)]


def _dural_site(rng: np.random.Generator, atlas: Atlas) -> tuple[np.ndarray, np.ndarray]:
    """A point of the dura [3] and the direction into the brain [3]: convexity, falx, or skull base."""
    place = rng.choice(["convexity", "falx", "base"], p=[0.55, 0.2, 0.25])
    side = rng.choice([-1.0, 1.0])
    if place == "falx":
        angle = rng.uniform(0.15, 0.85) * np.pi
        anchor = np.array([0.0, -18 + 68 * np.cos(angle), 10 + 48 * np.sin(angle)])
        return anchor, np.array([side, 0, 0])
    if place == "base":
        spots = ((34, 16, -20), (8, 46, -24), (12, 0, -28), (26, -34, -40), (44, -60, -30), (30, 2, -36))
        anchor = np.array(spots[rng.integers(len(spots))], float) * (side, 1, 1) + rng.normal(0, 2.5, 3)
        return anchor, np.array([0.2 * side, -0.2, 1.0]) / 1.06
    grid = atlas.envelope
    step = max(1, round(4 / grid.spacing))
    index = np.argwhere(np.abs(grid.values[::step, ::step, ::step]) < 2) * step
    points = index * grid.spacing + grid.origin
    anchor = pick(rng, points[(points[:, 2] > -5) & (np.abs(points[:, 0]) > 5)])
    normal = np.array([grid.at((anchor + d)[None])[0] - grid.at((anchor - d)[None])[0] for d in 3 * np.eye(3)])
    return anchor, -normal / np.linalg.norm(normal)
