"""Structures around the brain: skin, fat, muscle, skull, skull base, orbits, air spaces, jaw, neck and spine.

The bundled MNI152 maps contain only the brain, so these are solids at their usual MNI coordinates, painted in order.
They are visual landmarks, not anatomy for measurements.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from btlib.phantom.shapes import around_rod, at_rows, box, capsule, ellipsoid, in_box, mirrored, smooth_union
from btlib.phantom.tissues import Mixture, ramp

SELLA = np.array((0.0, 3.0, -33.0))
Noise = Callable[[np.ndarray, float], np.ndarray]  # (points, scale in mm) -> [N]


@dataclass(frozen=True)
class HeadShape:
    """Individual parameters of a head; lengths in mm."""

    gap: float  # fluid between brain envelope and dura
    skull: float
    scalp: float
    fat: float
    sinus: float  # scale of the air sinuses
    nose: float
    airway: float  # scale of throat and mouth air

    @property
    def thickness(self) -> float:
        return self.gap + self.skull + self.scalp


def sample_head(rng: np.random.Generator) -> HeadShape:
    """Draws a head."""
    return HeadShape(
        gap=rng.uniform(0.0, 2.0),
        skull=rng.uniform(3.5, 6.5),
        scalp=rng.uniform(3.5, 7.0),
        fat=rng.uniform(1.0, 5.0),
        sinus=rng.uniform(0.7, 1.2),
        nose=rng.uniform(-5.0, 4.0),
        airway=rng.uniform(0.7, 1.2),
    )


def skin_distance(points: np.ndarray, depth: np.ndarray, shape: HeadShape) -> np.ndarray:
    """Distance in mm to the skin, negative inside the head; `depth` is the distance to the brain's envelope."""
    distance = depth - shape.thickness
    low = np.flatnonzero(points[:, 2] < 25)
    distance[low] = _add_face(distance[low], points[low], shape)
    return distance


def _add_face(distance: np.ndarray, points: np.ndarray, shape: HeadShape) -> np.ndarray:
    half = mirrored(points)
    y, z = points[:, 1], points[:, 2]
    distance = smooth_union(distance, ellipsoid(half, (0, 28, -48), (75, 58, 46)), 14)
    distance = smooth_union(distance, ellipsoid(half, (0, 28, -96), (64, 64, 46)), 16)
    nose = capsule(half, (0, 80, -36), (0, 100 + shape.nose, -66), 7, 10)
    distance = smooth_union(distance, nose, 10)
    distance = smooth_union(distance, ellipsoid(half, (0, 88, -88), (20, 8, 5)), 6)
    middle = -34 - 0.08 * (z + 80)
    neck = (np.hypot(half[:, 0] / 66, (y - middle) / 62) - 1) * 62
    distance = smooth_union(distance, np.maximum(neck, z + 45), 24)
    ear = np.maximum(ellipsoid(half, (83, -24, -42), (6, 14, 25)), -ellipsoid(half, (87, -21, -46), (5, 8, 13)))
    return np.minimum(distance, ear)


def paint_head(mixture: Mixture, points: np.ndarray, depth: np.ndarray, shape: HeadShape, noise: Noise) -> np.ndarray:
    """Paints the whole head except the brain; returns the distance to the skin."""
    skin = skin_distance(points, depth, shape)
    scalp = np.flatnonzero((skin < 1) & (depth > 0))
    mixture.paint("skin", ramp(skin[scalp]), scalp)
    mixture.paint("fat", 0.9 * ramp(skin[scalp] + 2.2), scalp)
    _soft_tissue(mixture, points, skin, depth, shape, noise)
    outer = np.flatnonzero((depth > -1) & (skin < -1) & (points[:, 2] < 45))
    face = _Painter(mixture, at_rows(points, outer), outer, ramp(-depth[outer] + 0.5) * ramp(skin[outer] + 2))
    _muscles(face.within((-80, -110, -200), (80, 70, 20)))
    _jaw_and_mouth(face.within((-62, 10, -135), (62, 120, -45)), shape)
    _neck(face.within((-45, -75, -200), (45, 5, -50)))
    _skull(mixture, points, depth, skin, shape, noise)
    _skull_base(face.within((-95, -70, -80), (95, 75, -10)), noise)
    _air_spaces(face.within((-45, -25, -200), (45, 100, 5)), shape, noise)
    _orbits(face.within((-56, 0, -64), (56, 85, -10)))
    mixture.paint("csf", ramp(depth - shape.gap))
    return skin


class _Painter:
    """Paints solids over a subset of the points; `half`: points folded onto the right side."""

    def __init__(self, mixture: Mixture, points: np.ndarray, rows: np.ndarray, allowed: np.ndarray) -> None:
        self.mixture, self.points, self.rows, self.allowed = mixture, points, rows, allowed
        self.half = mirrored(points)

    def within(self, low: tuple, high: tuple) -> "_Painter":
        """A painter of the points between two corners, to save time."""
        return self.at(in_box(self.points, low, high))

    def at(self, kept: np.ndarray) -> "_Painter":
        """A painter of some of the points, given by their indices."""
        return _Painter(self.mixture, at_rows(self.points, kept), self.rows[kept], self.allowed[kept])

    def __call__(self, tissue: str, distance: np.ndarray, opacity: float | np.ndarray = 1.0) -> None:
        self.mixture.paint(tissue, ramp(distance, 1.5) * opacity * self.allowed, self.rows)


def _soft_tissue(
    mixture: Mixture, points: np.ndarray, skin: np.ndarray, depth: np.ndarray, shape: HeadShape, noise: Noise
) -> None:
    rows = np.flatnonzero((skin < -1) & (depth > 0))
    where = at_rows(points, rows)
    # Muscles run vertically with fat between them.
    streaks = noise(where * (1.0, 1.0, 0.25), 4.0) + 0.6 * noise(where * (1.0, 1.0, 0.5), 11.0)
    # The scalp is fat down to the skull; face and neck have `fat` mm of it under the skin, then muscle.
    low = np.clip((15 - where[:, 2]) / 30, 0, 1)
    layer = 2.5 + low * shape.fat + (1 - low) * shape.scalp
    mixture.paint("muscle", ramp(skin[rows] + layer + 2 * streaks, 2.5), rows)
    deep = ramp(skin[rows] + layer)
    mixture.paint("fat", np.clip(0.15 + 0.25 * streaks, 0, 0.7) * deep, rows)
    # Fascia, vessels and small bones give face and neck their fine texture.
    grain, strands = noise(where, 4.5) + 0.5 * noise(where, 2.4), noise(where * (1.0, 1.0, 0.5) + 50, 5.0)
    mixture.paint("bone", 0.45 * np.clip(1 - np.abs(grain) / 0.22, 0, 1) * deep, rows)
    mixture.paint("mucosa", 0.7 * np.clip(1 - np.abs(strands) / 0.12, 0, 1) * deep, rows)


# Start, end and radii of the larger right-sided muscles.
MUSCLES = (
    ((62, 14, 5), (54, 22, -58), 6, 6),  # temporalis
    ((60, 22, -58), (54, 26, -110), 8, 9),  # masseter
    ((18, 14, -48), (46, 4, -54), 8, 6),  # lateral pterygoid
    ((18, 12, -56), (43, 14, -104), 6, 7),  # medial pterygoid
    ((60, -42, -62), (38, 6, -160), 8, 9),  # sternocleidomastoid
    ((20, -82, -46), (22, -78, -160), 11, 15),  # semispinalis and trapezius
    ((24, -58, -66), (26, -56, -160), 9, 11),  # deep muscles of the neck
    ((12, -2, -72), (14, -4, -160), 6, 7),  # prevertebral
)


def _muscles(face: _Painter) -> None:
    face("fat", ellipsoid(face.half, (58, -8, -72), (11, 15, 22)), 0.7)  # parotid gland
    face("fat", ellipsoid(face.half, (40, 46, -76), (11, 14, 16)), 0.8)  # cheek
    for start, end, radius, end_radius in MUSCLES:
        near = face.at(around_rod(face.half, start, end, max(radius, end_radius) + 3))
        muscle = capsule(near.half, start, end, radius, end_radius)
        near("fat", muscle - 1.8, 0.75)
        near("muscle", muscle, 0.9)


def _jaw_and_mouth(face: _Painter, shape: HeadShape) -> None:
    half = face.half
    y, z = face.points[:, 1], face.points[:, 2]
    # The mandible is a horseshoe: between two ellipses in the axial plane, and a ramus up to the joint.
    outer = (np.hypot(half[:, 0] / 50, (y - 28) / 56) - 1) * 50
    body = np.maximum(np.abs(outer + 6) - 5.5, np.abs(z + 112) - 12)
    body = np.maximum(body, 25 - y)
    ramus = capsule(half, (50, 4, -52), (47, 22, -112), 5, 7)
    mandible = smooth_union(body, ramus, 4)
    for distance, tissue in ((mandible, "bone"), (mandible + 2.2, "marrow")):
        face(tissue, distance)
    maxilla = ellipsoid(half, (0, 66, -78), (30, 22, 11))
    face("marrow", maxilla, 0.7)
    teeth = np.maximum(np.abs((np.hypot(half[:, 0] / 27, (y - 48) / 38) - 1) * 27 + 4) - 4, np.abs(z + 94) - 8)
    face("bone", np.maximum(teeth, 45 - y), 0.8)
    face("muscle", ellipsoid(half, (0, 42, -100), (24, 34, 17)))
    face("mucosa", np.abs(ellipsoid(half, (0, 42, -100), (24, 34, 17))) - 1.0, 0.7)
    face("air", ellipsoid(half, (0, 46, -83), (20, 26, 3.0 * shape.airway)))
    face("bone", np.maximum(np.abs(z + 78) - 1.5, ellipsoid(half, (0, 50, -78), (24, 34, 8))))


def _neck(face: _Painter) -> None:
    half, z = face.half, face.points[:, 2]
    # Vertebral bodies every 16 mm below the dens, discs between them, and the spinal canal with the cord.
    y_body = -20.0
    body = np.maximum(np.hypot(half[:, 0] / 11, (face.points[:, 1] - y_body) / 8.5) - 1, 0) * 9
    phase = np.abs((z + 84) % 16 - 8)
    vertebra = np.where(z < -66, np.maximum(body, 0.0) + np.maximum(phase - 6.2, 0), 99.0)
    disc = np.where(z < -76, body, 99.0)
    face("muscle", disc - 1.0)
    face("bone", vertebra - 1.2)
    face("marrow", vertebra - 0.2)
    canal = np.where(z < -62, np.hypot(half[:, 0], face.points[:, 1] + 43) - 9.5, 99.0)
    face("bone", np.abs(canal - 1.5) - 1.0, 0.6)
    face("csf", canal)
    face("wm", np.where(z < -62, np.hypot(half[:, 0] / 1.2, face.points[:, 1] + 42) - 4.8, 99.0))
    spine = capsule(face.points, (0, -58, -82), (0, -66, -160), 7)
    face("marrow", np.maximum(spine, phase - 4.5), 0.7)
    arch = capsule(half, (10, -48, -76), (22, -40, -78), 5)
    face("marrow", arch, 0.6)
    for x, y in ((28, -4), (33, -14)):
        face("blood", np.where(z < -58, np.hypot(half[:, 0] - x, face.points[:, 1] - y) - 3.2, 99.0), 0.8)


def _skull(
    mixture: Mixture, points: np.ndarray, depth: np.ndarray, skin: np.ndarray, shape: HeadShape, noise: Noise
) -> None:
    rows = np.flatnonzero((depth > shape.gap - 2) & (depth < shape.gap + shape.skull + 4))
    from_dura = depth[rows] - shape.gap
    wobble = noise(points[rows], 18.0)
    # Thick at the front and back, thin at the temples.
    thickness = shape.skull * (1 + 0.12 * wobble) * np.clip(1.15 - np.abs(points[rows, 0]) / 240, 0.8, 1.2)
    within = ramp(from_dura - thickness) * ramp(-from_dura) * ramp(skin[rows] + 2.5)
    mixture.paint("bone", within, rows)
    diploe = np.minimum(from_dura - 1.8, thickness - 2.0 - from_dura)
    mixture.paint("marrow", (0.25 + 0.25 * wobble).clip(0, 0.7) * ramp(-diploe), rows)
    mixture.paint("dura", 0.45 * ramp(np.abs(from_dura - 0.2) - 0.4), rows)


def _skull_base(face: _Painter, noise: Noise) -> None:
    half, rough = face.half, noise(face.points, 5.0)
    petrous = capsule(half, (16, -12, -42), (58, -32, -42), 7, 13)
    mastoid = ellipsoid(half, (58, -38, -56), (13, 16, 18))
    temporal = smooth_union(petrous, mastoid, 6)
    face("bone", temporal)
    face("marrow", temporal + 3, np.clip(0.35 * rough, 0, 0.5))
    face("air", temporal + 3, np.clip(0.9 * rough - 0.2, 0, 0.8))
    face("air", capsule(half, (58, -22, -46), (86, -22, -47), 3.5))
    clivus = capsule(half, (0, -8, -38), (0, -20, -66), 7, 4)
    face("bone", clivus - 1.5)
    face("marrow", clivus)
    wing = capsule(half, (8, 10, -26), (50, 22, -26), 3)
    face("bone", wing)
    zygoma = capsule(half, (60, 10, -52), (48, 62, -52), 3.5)
    face("bone", zygoma)
    face("marrow", zygoma + 2)


def _air_spaces(face: _Painter, shape: HeadShape, noise: Noise) -> None:
    half, scale, rough = face.half, shape.sinus, noise(face.points, 5.0)
    x, z = face.points[:, 0], face.points[:, 2]
    nasal = box(half, (0, 54, -58), (15, 34, 17), 8)
    face("mucosa", nasal)
    # Turbinates and septum: curved sheets of mucosa with air between them.
    sheets = np.sin((half[:, 0] + 0.25 * z + 1.5 * rough) / 2.1) * 1.6 + 0.4
    face("air", np.maximum(nasal + 1.5, sheets), 0.95)
    face("bone", np.maximum(nasal, np.abs(x) - 0.7), 0.7)
    for center, radii in (((27, 48, -60), (12, 16, 16)), ((8, 16, -41), (11, 12, 8)), ((9, 79, -18), (13, 5, 11))):
        cavity = ellipsoid(half, center, tuple(scale * r for r in radii)) + 0.6 * rough
        face("bone", cavity - 2.6)
        face("mucosa", cavity - 1.2)
        face("air", cavity)
    ethmoid = box(half, (7, 44, -37), (8, 20, 8), 4)
    face("mucosa", ethmoid)
    walls = 0.25 - np.abs(noise(face.points + 30, 4.5))
    face("air", np.maximum(ethmoid + 1, 6 * walls), 0.95)
    throat = capsule(half, (0, 10, -62), (0, 2, -92), 9 * shape.airway, 6)
    throat = smooth_union(throat, capsule(half, (0, 2, -92), (0, 6, -160), 5 * shape.airway, 7), 4)
    face("mucosa", throat - 3)
    face("air", throat)


def _orbits(face: _Painter) -> None:
    half = face.half
    # The axis of the orbit runs from the globe backward and inward to the optic canal.
    cone = capsule(half, (31, 54, -37), (12, 18, -31), 16, 4)
    cone = np.maximum(cone, 9 - half[:, 0])
    face("bone", cone - 2)
    face("fat", cone)
    for offset in ((11, 0), (-9, 0), (0, 10), (0, -10)):
        start, end = (31 + offset[0], 56, -37 + offset[1]), (12, 20, -31)
        face("muscle", capsule(half, start, end, 2.0, 1.5), 0.7)
    face("wm", capsule(half, (31, 52, -37), (11, 18, -30), 2.2), 0.8)
    face("muscle", ellipsoid(half, (33, 63, -37), (14, 14, 14)))
    face("vitreous", ellipsoid(half, (33, 63, -37), (12.6, 12.6, 12.6)))
    face("muscle", ellipsoid(half, (33, 72.5, -37), (4.5, 2.2, 4.5)))
