"""Slices through a subject, as acquired by a scanner and displayed by a viewer."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from btlib.phantom.acquisition import bias_field, blur, coil, compress, rician, sharpen, window
from btlib.phantom.contrasts import MODALITIES, sample_table
from btlib.phantom.subject import Subject
from btlib.phantom.tissues import INDEX, Mixture
from btlib.phantom.tumors import LESION_LABELS, lesion_labels

PLANES = ("axial", "coronal", "sagittal")
# Image right, image down, and the centre of the head in the plane (mm of the subject).
AXES = {
    "axial": ((-1, 0, 0), (0, -1, 0), (0, -12, 0)),
    "coronal": ((-1, 0, 0), (0, 0, -1), (0, -15, -12)),
    "sagittal": ((0, 1, 0), (0, 0, -1), (0, -4, -14)),
}
MODALITY_SHARES = (0.04, 0.88, 0.04, 0.04)  # of MODALITIES, the same in every class
COARSE = 4
SMALLEST_LESION = 0.0008  # share of the image for a lesion to count as visible


class Scan(NamedTuple):
    """Ranges of what differs between scanners and viewers; each is drawn uniformly.

    Attributes:
        field, tight_field: mm, side of the image.
        blur: mm, standard deviation of the point spread.
        shading: strength of the bias field.
        noise: standard deviation, in the units of the contrast tables.
        smooth: pixels, standard deviation of the viewer's interpolation.
        level, tight_level: grey of the brightest tissue.
        gamma: of the display.
    """

    field: tuple[float, float]
    tight_field: tuple[float, float]
    blur: tuple[float, float]
    shading: tuple[float, float]
    noise: tuple[float, float]
    smooth: tuple[float, float]
    level: tuple[float, float]
    tight_level: tuple[float, float]
    gamma: tuple[float, float]


USUAL = Scan(
    (215, 275), (178, 205), (0.3, 0.6), (0.03, 0.12), (1.5, 6), (0.5, 1.1), (140, 235), (190, 270), (0.85, 1.15)
)
VARIED = Scan((205, 320), (165, 205), (0.3, 1.6), (0.03, 0.25), (1, 12), (0.4, 1.2), (110, 290), (170, 300), (0.6, 1.3))


@dataclass(frozen=True)
class Slice:
    """One image [S, S] uint8 with its lesion mask [S, S] bool (the tumour without its oedema)."""

    image: np.ndarray
    mask: np.ndarray
    plane: str
    modality: str


def plane_points(
    rng: np.random.Generator, plane: str, through: np.ndarray, size: int, tight: bool, scan: Scan = USUAL
) -> tuple[np.ndarray, float]:
    """Points [size × size, 3] of a slightly oblique slice through a point, row by row, and the pixel size in mm."""
    right, down, middle = (np.array(v, float) for v in AXES[plane])
    if plane == "sagittal" and rng.random() < 0.5:
        right = -right
    normal = np.cross(right, down)
    tilt = rng.normal(0, 0.06, 3)
    right, down = right + tilt[0] * down + tilt[1] * normal, down - tilt[0] * right + tilt[2] * normal
    field = rng.uniform(*(scan.tight_field if tight else scan.field))
    aspect = np.exp(rng.normal(0, 0.05))
    # In the plane the head is roughly centred; along the normal the slice passes through the point.
    corner = middle + rng.normal(0, 5, 3) + (0 if not tight or plane == "axial" else np.array([0, -8, 14.0]))
    corner = corner + normal * ((through - corner) @ normal)
    offsets = (np.arange(size) + 0.5) / size - 0.5
    grid = corner + offsets[:, None, None] * field * aspect * down + offsets[None, :, None] * field / aspect * right
    return grid.reshape(-1, 3).astype(np.float32), field / size


def sample_slice(rng: np.random.Generator, subject: Subject, plane: str, size: int) -> Slice:
    """Draws a slice of a subject with its tumour, if any, visible.

    The first attempt is off the tumour's centre by up to about half its radius; if too little of it is visible, the
    offset is halved, then zero.
    """
    state = int(rng.integers(2**62))
    modality = str(rng.choice(MODALITIES, p=MODALITY_SHARES))
    reach = 6.0 if subject.tumor is None else 0.45 * subject.tumor.radius
    miss = rng.uniform(-reach, reach, 3)
    for share in (1.0, 0.5, 0.0):
        geometry = np.random.default_rng(state)
        tight = geometry.random() < 0.3
        points, pixel = plane_points(geometry, plane, subject.focus + share * miss, size, tight)
        mixture = plane_tissues(subject, points, size)
        labels = lesion_labels(mixture).reshape(size, size)
        mask = (labels == LESION_LABELS["necrotic_core"]) | (labels == LESION_LABELS["enhancing"])
        if subject.tumor is None or mask.mean() >= SMALLEST_LESION:
            break
    ideal = (mixture.fractions @ sample_table(rng, modality)).reshape(size, size)
    ideal *= coil(points[:, 2], rng.uniform(0.0, 1.0)).reshape(size, size)
    image = acquire(rng, ideal, mixture.fractions, pixel, tight)
    return Slice(image, mask, plane, modality)


def plane_tissues(subject: Subject, points: np.ndarray, size: int) -> Mixture:
    """Tissues of a slice: air except where a check of every fourth row and column finds the head.

    Args:
        points: [size × size, 3] from `plane_points`.
    """
    grid = points.reshape(size, size, 3)
    coarse = grid[::COARSE, ::COARSE]
    margin = 2 * COARSE * np.abs(grid[0, 1] - grid[0, 0]).max()
    near = subject.near(coarse.reshape(-1, 3), margin).reshape(coarse.shape[:2])
    near = np.repeat(np.repeat(near, COARSE, 0), COARSE, 1)[:size, :size]
    rows = np.flatnonzero(near)
    mixture = Mixture(size * size)
    mixture.fractions[rows] = subject.tissues(points[rows]).fractions
    return mixture


def acquire(
    rng: np.random.Generator,
    ideal: np.ndarray,
    fractions: np.ndarray,
    pixel: float,
    tight: bool,
    scan: Scan = USUAL,
) -> np.ndarray:
    """The slice as in a published data set, uint8 [S, S]: with blur, bias field, noise, window and JPEG compression.

    Args:
        ideal: [S, S] signal without these effects.
        fractions: [S × S, tissues] from `plane_tissues`; the window is computed outside air.
        pixel: size in mm.
        tight: whether the image has the narrow field of view of a crop, displayed brighter.
    """
    shape = ideal.shape
    seen = blur(ideal, rng.uniform(*scan.blur) / pixel) * bias_field(rng, shape, rng.uniform(*scan.shading))
    # The viewer's interpolation smooths the noise as well.
    noisy = blur(rician(rng, seen, rng.uniform(*scan.noise)), rng.uniform(*scan.smooth))
    # Viewers display the brightest parts of the head, fat or enhancing tissue, as nearly white.
    inside = fractions[:, INDEX["air"]].reshape(shape) < 0.5
    brightest = np.percentile(noisy[inside], 99.5)
    level = rng.uniform(*(scan.tight_level if tight else scan.level))
    shown = window(noisy - rng.uniform(3, 10), brightest, level, rng.uniform(*scan.gamma))
    if rng.random() < 0.3:
        shown = sharpen(shown, rng.uniform(0.3, 1.0))
    return compress(shown, int(rng.integers(70, 96)))
