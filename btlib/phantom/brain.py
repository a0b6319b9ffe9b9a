"""The brain and adjacent structures: tissue maps, ventricles, falx, tentorium, veins, pituitary region."""

from dataclasses import dataclass

import numpy as np

from btlib.phantom.atlas import Atlas
from btlib.phantom.head import SELLA, Noise
from btlib.phantom.shapes import around_rod, at_rows, capsule, ellipsoid, mirrored
from btlib.phantom.tissues import Mixture, ramp


@dataclass(frozen=True)
class BrainShape:
    """Individual parameters of a brain."""

    sulci: float  # weight of fluid in the cortex: below 1 full, above 1 atrophic
    ventricles: float  # mm by which the ventricles are wider than the atlas's
    vessels: float  # visibility of superficial veins, 0..1


def sample_brain(rng: np.random.Generator) -> BrainShape:
    """Draws a brain; most are young and full, some are atrophic."""
    age = rng.beta(1.2, 2.0)
    return BrainShape(sulci=0.9 + 1.6 * age, ventricles=-1.2 + 4.5 * age**1.5, vessels=rng.uniform(0.2, 1))


def brain_tissue(atlas: Atlas, points: np.ndarray, shape: BrainShape) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fractions [N] of grey matter, white matter and fluid, summing to 1, at points of the atlas inside the envelope.

    The atlas is a mean of 152 heads, so its cortex is blurred; raising the probabilities to a power makes transitions
    as narrow as in a single head.
    """
    gm, wm = atlas.gm.at(points, 0) / 255, atlas.wm.at(points, 0) / 255
    csf = np.clip(1 - gm - wm, 0, 1) * shape.sulci
    parts = np.stack([gm, wm, csf]) ** 2.2
    parts /= np.maximum(parts.sum(0), 1e-6)
    wide = ramp(atlas.ventricles.at(points, 99) - shape.ventricles, 1.6)
    parts *= 1 - wide
    parts[2] += wide
    return parts[0], parts[1], parts[2]


def paint_brain(
    mixture: Mixture,
    atlas: Atlas,
    points: np.ndarray,
    sources: np.ndarray,
    depth: np.ndarray,
    shape: BrainShape,
    noise: Noise,
) -> None:
    """Paints the interior of the skull.

    Args:
        points: [N, 3] in the mean head.
        sources: [N, 3] original position in the mean head of the brain tissue at `points`; they differ near a tumour
            with mass effect.
        depth: [N] mm to the brain's envelope at `points`, negative inside.
    """
    rows = np.flatnonzero(depth < 1)
    where, inside = at_rows(points, rows), depth[rows]
    gm, wm, csf = brain_tissue(atlas, at_rows(sources, rows) + _displacement(where, noise), shape)
    cover = ramp(inside, 1.5)
    mixture.paint("csf", cover, rows)
    _skull_base_gap(mixture, where, rows, csf, inside, noise)
    # Grey matter first, then white: opacity gm / (1 - wm) yields exactly gm, wm and csf.
    mixture.paint("gm", cover * gm / np.maximum(1 - wm, 1e-6), rows)
    mixture.paint("wm", cover * wm, rows)
    _membranes(mixture, where, rows, wm, csf, noise)
    _veins(mixture, where, rows, csf, inside, shape, noise)
    _sellar_region(mixture, where, rows, wm + gm)


def _displacement(where: np.ndarray, noise: Noise) -> np.ndarray:
    """Displacement [N, 3] of about 1 mm over a few mm, which gives the mean cortex irregular folds."""
    steps = np.array([[0, 0, 0], [71, 13, 37], [29, 83, 59]], np.float32)
    return np.stack([1.5 * noise(where + step, 5.5) for step in steps]).T


def _skull_base_gap(
    mixture: Mixture, where: np.ndarray, rows: np.ndarray, csf: np.ndarray, depth: np.ndarray, noise: Noise
) -> None:
    # The envelope bridges the hollows between temporal lobes and brain stem, which contain bone, not fluid.
    low = np.flatnonzero((where[:, 2] < -28) & (csf > 0.3))
    spot = mirrored(where[low])
    petrous = capsule(spot, (14, -12, -42), (60, -32, -42), 6, 12)
    middle = ellipsoid(spot, (0, 14, -44), (22, 16, 14))
    for solid in (petrous, middle):
        mixture.paint("bone", ramp(solid, 2) * csf[low], rows[low])
        mixture.paint("marrow", ramp(solid + 2.5, 2) * csf[low] * 0.4, rows[low])


def _membranes(
    mixture: Mixture, where: np.ndarray, rows: np.ndarray, wm: np.ndarray, csf: np.ndarray, noise: Noise
) -> None:
    # The falx reaches from the envelope down to an arc above the corpus callosum.
    middle = np.flatnonzero(np.abs(where[:, 0]) < 4)
    x, y, z = where[middle].T
    arc = np.hypot((y + 18) / 1.25, z - 4)
    sheet = ramp(np.abs(x + 0.6 * noise(where[middle], 25.0)) - 0.5, 1.2)
    falx = sheet * np.clip((arc - 40) / 8, 0, 1) * (z > -8) * (y > -95)
    mixture.paint("dura", 0.65 * falx * (1 - wm[middle]), rows[middle])
    x, y, z = where.T
    ridge = 2 - 0.42 * (np.abs(x)) - 0.12 * np.abs(y + 50) * (y < -50)
    tent = ramp(np.abs(z - ridge) - 0.6, 1.4) * ramp(y + 38) * np.clip(csf * 2.5, 0, 1)
    mixture.paint("dura", 0.6 * tent, rows)


# Start, end and radii of the larger right-sided and midline vessels.
VESSELS = (
    ((0, -42, 4), (0, -90, -8), 1.1, 1.7),  # straight sinus
    ((4, -100, -16), (58, -62, -30), 2.6, 3.6),  # transverse sinus
    ((58, -62, -30), (48, -38, -58), 3.6, 3.4),  # sigmoid sinus
    ((2, -20, 12), (0, -42, 4), 1.1, 1.6),  # great cerebral vein
    ((0, -15, -34), (0, -14, -18), 1.5, 1.4),  # basilar artery
    ((11, 2, -22), (30, 6, -19), 0.9, 0.7),  # middle cerebral artery
    ((2, 14, -16), (1.5, 38, 4), 1.1, 0.9),  # anterior cerebral artery
    ((3, -14, -18), (18, -30, -12), 1.2, 0.9),  # posterior cerebral artery
)


def _veins(
    mixture: Mixture,
    where: np.ndarray,
    rows: np.ndarray,
    csf: np.ndarray,
    depth: np.ndarray,
    shape: BrainShape,
    noise: Noise,
) -> None:
    half = mirrored(where)
    sagittal = np.hypot(where[:, 0] / 1.2, depth + 2.2) - 3.4
    mixture.paint("blood", ramp(sagittal) * ((where[:, 2] > -5) & (where[:, 1] < 60)), rows)
    for start, end, radius, end_radius in VESSELS:
        near = around_rod(half, start, end, max(radius, end_radius) + 1)
        vessel = capsule(at_rows(half, near), start, end, radius, end_radius)
        mixture.paint("blood", 0.85 * ramp(vessel, 1.2), rows[near])
    near = around_rod(half, (16, -36, 14), (27, -36, 4), 6)
    plexus = capsule(at_rows(half, near), (16, -36, 14), (27, -36, 4), 2.2, 3.0)
    mixture.paint("blood", 0.6 * ramp(plexus + noise(where[near], 2.5), 1.5) * (plexus < 3) * csf[near], rows[near])
    sulci = np.flatnonzero((csf > 0.25) & (depth > -22))
    winding = np.abs(noise(where[sulci], 6.0) + 0.4 * noise(where[sulci], 3.0))
    superficial = np.clip(1 - winding / 0.09, 0, 1) * np.clip((csf[sulci] - 0.25) * 2, 0, 1)
    mixture.paint("blood", 0.75 * shape.vessels * superficial, rows[sulci])


def _sellar_region(mixture: Mixture, where: np.ndarray, rows: np.ndarray, brain: np.ndarray) -> None:
    near = np.flatnonzero(((where - SELLA) ** 2).sum(1) < 30**2)
    spot, free = mirrored(where[near]), np.clip(1 - 1.5 * brain[near], 0, 1)
    for tissue, solid in (
        ("blood", ellipsoid(spot, (12, -1, -34), (5.5, 11, 6.5))),
        ("bone", capsule(spot, (12.5, 8, -35), (12, -8, -33), 2.4)),
        ("gland", ellipsoid(spot, tuple(SELLA), (7, 5, 3.6))),
        ("gland", capsule(spot, (0, 1, -29), (0, -3, -19), 1.2)),
    ):
        mixture.paint(tissue, ramp(solid, 1.2) * free, rows[near])
