"""One patient's volumes: T1, T1ce, T2 and FLAIR without the skull, and the segmentation, on one grid."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from btlib.core.runtime.reproducibility import keyed_rng
from btlib.phantom.acquisition import rician
from btlib.phantom.atlas import LATTICE, Atlas
from btlib.phantom.contrasts import MODALITIES
from btlib.phantom.scanners import Scanner, sample_scanner
from btlib.phantom.subject import Subject, sample_subject
from btlib.phantom.tissues import INDEX, LESION, OUTSIDE_BRAIN
from btlib.phantom.tumors import CLEAR, LESION_LABELS, Outlining, lesion_labels

LOW, HIGH = np.array((-84.0, -120.0, -80.0)), np.array((84.0, 88.0, 92.0))  # mm, around the largest of 150 brains
CELL = 8.0  # mm, spacing of the coarse search for the brain
BRATS_LABELS = LESION_LABELS | {"enhancing": 4}
FLAIR = MODALITIES.index("flair")
FLOW_SIZE = 20.0  # mm, correlation length of the flow of fluid
GRAY = 100.0  # level that a gamma leaves as it is
MOST = np.iinfo(np.int16).max


@dataclass(frozen=True)
class Stripping:
    """How the skull was removed: `margin` mm inside the dura (less than 0: outside), inaccurate by `wobble` mm; with
    leftovers, bone and scalp within the margin remain."""

    margin: float
    wobble: float
    leftovers: bool = False

    @property
    def farthest(self) -> float:
        """Distance in mm from the dura that may still be kept."""
        return max(-1.0, 3 * self.wobble - self.margin) if self.leftovers else -1.0


USUAL = Stripping(margin=2.5, wobble=2.0)


@dataclass(frozen=True)
class Volumes:
    """One patient, skull-stripped.

    Attributes:
        images: int16 [4, X, Y, Z] in the order of `contrasts.MODALITIES`, positive in the brain, 0 outside.
        seg: uint8 [X, Y, Z], one of BRATS_LABELS.
        affine: [4, 4], voxel to mm of the subject (x right, y anterior, z superior).
    """

    images: np.ndarray
    seg: np.ndarray
    affine: np.ndarray


def make_volumes(seed: int, grade: str, number: int, spacing: float, atlas: Atlas) -> Volumes:
    """Draws patient `number` with a glioma of the given grade, scanned with voxels of `spacing` mm."""
    subject = sample_subject(seed, grade, number, atlas)
    rng = keyed_rng(seed, "phantom scan", number)
    return scan(rng, subject, sample_scanner(rng, seed), spacing)


def scan(
    rng: np.random.Generator,
    subject: Subject,
    scanner: Scanner,
    spacing: float,
    stripping: Stripping = USUAL,
    outlining: Outlining = CLEAR,
) -> Volumes:
    """Scans a subject with voxels of `spacing` mm, and outlines the lesion."""
    shape, affine = voxel_grid(spacing)
    depth = _brain_depth(subject, shape, affine)
    near = np.flatnonzero(depth < stripping.farthest)
    points = np.stack(np.unravel_index(near, shape), -1) @ affine[:3, :3] + affine[:3, 3]
    mixture = subject.tissues(points)
    brain = _strip(subject, points, mixture.fractions, depth, near, stripping)
    ideal = np.zeros((len(scanner.tables), *shape), np.float32)
    signal = scanner.tables @ mixture.fractions.T
    if scanner.flow:
        signal[FLAIR] += scanner.flow * _moving_fluid(rng, subject, points, mixture.fractions)
    ideal.reshape(len(ideal), -1)[:, near] = signal * _grain(rng, subject, scanner, points, mixture.fractions)
    seg = np.zeros(shape, np.uint8)
    seg.flat[near] = np.array(list(BRATS_LABELS.values()), np.uint8)[lesion_labels(mixture, outlining)]
    return Volumes(_scan(rng, scanner, ideal, brain, spacing), np.where(brain, seg, 0), affine)


def voxel_grid(spacing: float) -> tuple[tuple[int, int, int], np.ndarray]:
    """Shape and affine of every patient's volumes; voxel 0 is right, anterior and inferior, as in BraTS."""
    shape = tuple(int(n) for n in np.ceil((HIGH - LOW) / spacing))
    affine = np.diag((-spacing, -spacing, spacing, 1.0))
    affine[:3, 3] = HIGH[0], HIGH[1], LOW[2]
    return shape, affine


def _brain_depth(subject: Subject, shape: tuple[int, int, int], affine: np.ndarray) -> np.ndarray:
    """Distance [X, Y, Z] to the brain's envelope in mm, negative inside; interpolated from one value every CELL mm."""
    axes = [np.arange(low, high + CELL, CELL) for low, high in zip(LOW, HIGH, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), -1)
    coarse = subject.atlas.envelope.at(subject.warp.to_atlas(points.reshape(-1, 3))).reshape(points.shape[:3])
    step, start = affine.diagonal()[:3] / CELL, (affine[:3, 3] - LOW) / CELL
    return ndimage.affine_transform(coarse, step, start, shape, order=1)


def _strip(
    subject: Subject,
    points: np.ndarray,
    fractions: np.ndarray,
    depth: np.ndarray,
    near: np.ndarray,
    stripping: Stripping,
) -> np.ndarray:
    """Brain mask [X, Y, Z] bool like that of a skull-stripping tool: one solid piece, inaccurate by a few mm."""
    wobble = subject.atlas.noise(points, 15.0, subject.texture)
    brain = np.zeros(depth.shape, bool)
    kept = depth.flat[near] + stripping.margin + stripping.wobble * wobble < 0
    if not stripping.leftovers:
        kept &= fractions[:, OUTSIDE_BRAIN].sum(1) < 0.5
    brain.flat[near] = kept
    return ~_largest_piece(~_largest_piece(ndimage.binary_opening(brain)))


def _largest_piece(mask: np.ndarray) -> np.ndarray:
    pieces, _ = ndimage.label(mask)
    return pieces == 1 + np.argmax(np.bincount(pieces.flat)[1:])


def _grain(
    rng: np.random.Generator, subject: Subject, scanner: Scanner, points: np.ndarray, fractions: np.ndarray
) -> np.ndarray:
    """Factor [4, N] about 1 for intensity variations within lesions, independent in each modality."""
    share = fractions[:, LESION].sum(1)
    lesion = np.flatnonzero(share)
    grain = np.ones((len(MODALITIES), len(points)), np.float32)
    for row in grain:
        for amplitude, size in scanner.grain:
            offset = rng.uniform(0, LATTICE, 3)
            row[lesion] += amplitude * share[lesion] * subject.atlas.noise(points[lesion], size, offset)
    return np.maximum(grain, 0.2)


def _moving_fluid(rng: np.random.Generator, subject: Subject, points: np.ndarray, fractions: np.ndarray) -> np.ndarray:
    """Share [N] of each voxel that is fluid moving too fast for FLAIR to null it, as often in the basal cisterns."""
    share = fractions[:, INDEX["csf"]].copy()
    fluid = np.flatnonzero(share)
    offset = rng.uniform(0, LATTICE, 3)
    share[fluid] *= np.clip(subject.atlas.noise(points[fluid], FLOW_SIZE, offset), 0, 1)
    return share


def _scan(
    rng: np.random.Generator, scanner: Scanner, ideal: np.ndarray, brain: np.ndarray, spacing: float
) -> np.ndarray:
    """Images int16 [4, X, Y, Z]: `ideal` with the blur, shading, noise and gain of the scanner, inside `brain`."""
    images = np.zeros(ideal.shape, np.int16)
    inside = np.flatnonzero(brain)
    place = np.stack(np.unravel_index(inside, brain.shape), -1) / (np.array(brain.shape) - 1) * 2 - 1  # −1..1
    physics = (scanner.blur / spacing, scanner.shift / spacing, scanner.gamma, scanner.gain)
    for image, signal, blur, shift, gamma, gain in zip(images, ideal, *physics, strict=True):
        moved = _moved(signal, shift) if shift.any() else signal
        seen = ndimage.gaussian_filter(moved, blur).flat[inside] * _shading(rng, place, scanner.shading)
        noisy = rician(rng, seen, scanner.noise)
        image.flat[inside] = np.clip(np.rint(gain * (noisy if gamma == 1 else GRAY * (noisy / GRAY) ** gamma)), 1, MOST)
    return images


def _moved(signal: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """The signal [X, Y, Z] moved by `shift` [3] voxels, with trilinear interpolation and 0 from outside.

    As `ndimage.shift` of order 1, but axis by axis, which takes a tenth of the time.
    """
    for axis, by in enumerate(shift):
        reach = int(np.ceil(abs(by)))
        taps = np.maximum(1 - np.abs(np.arange(-reach, reach + 1) - by), 0)
        signal = ndimage.convolve1d(signal, taps, axis, mode="constant")
    return signal


def _shading(rng: np.random.Generator, place: np.ndarray, strength: float) -> np.ndarray:
    """Sensitivity [N] at places [N, 3] in −1..1: exp of a random second-order polynomial."""
    linear, quadratic = rng.standard_normal(3), rng.standard_normal((3, 3))
    return np.exp(strength * (place * (linear + place @ quadratic)).sum(1))
