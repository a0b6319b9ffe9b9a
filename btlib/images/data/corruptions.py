"""Image corruptions by scanners, exports and web pages: nine kinds, each at five severities.

Graded corruptions follow Hendrycks and Dietterich (Benchmarking neural network robustness to common corruptions and
perturbations, 2019); the kinds are specific to MRI. Lengths are relative to the image's side and brightness to the
image's own, so that a severity looks the same at every image size and window.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from scipy import ndimage

from btlib.core.runtime.errors import InputError
from btlib.core.runtime.reproducibility import keyed_rng
from btlib.images.data.occlusion import head_mask

SEVERITIES = (1, 2, 3, 4, 5)
BIAS_ORDER = 3
HEAD_REACH = 0.8  # of half a side: radius around the centre that contains the head
GHOST_PERIOD = (3.0, 7.0)  # k-space lines per cycle of the motion: ghosts are 1/3 to 1/7 of the image apart


@dataclass(frozen=True)
class Corruption:
    """One kind of corruption.

    Attributes:
        apply: (grey float32 [H, W] in 0..255, strength, generator) -> float32 [H, W], not clipped.
        strengths: for severities 1 to 5.
        sentence: its effect and the meaning of the strength, for reports.
    """

    apply: Callable[[np.ndarray, float, np.random.Generator], np.ndarray]
    strengths: tuple[float, float, float, float, float]
    sentence: str


def corrupt(images: np.ndarray, name: str, severity: int, seed: int, numbers: Sequence[int]) -> np.ndarray:
    """Corrupts every image independently.

    Args:
        images: uint8 [N, H, W, 3] RGB of grey content; any colour (marks, seams) becomes grey.
        name: a key of `CORRUPTIONS`.
        severity: 1 (barely visible) to 5 (strong, yet still readable).
        seed: of the study.
        numbers: N numbers, such as rows of images.npy. With seed, name and severity they determine the draws, so that
            the result for an image does not depend on its batch.

    Returns:
        uint8 [N, H, W, 3], three equal channels.

    Raises:
        InputError: unknown corruption or severity.
    """
    if name not in CORRUPTIONS or severity not in SEVERITIES:
        raise InputError(
            f"no corruption '{name}' at severity {severity}; choose from {', '.join(CORRUPTIONS)}, at severity 1 to 5"
        )
    kind = CORRUPTIONS[name]
    corrupted = np.empty_like(images)
    for image, number, out in zip(images, numbers, corrupted, strict=True):
        rng = keyed_rng(seed, "corruption", name, severity, int(number))
        gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
        changed = kind.apply(gray, kind.strengths[severity - 1], rng)
        out[:] = np.clip(np.rint(changed), 0, 255).astype(np.uint8)[..., None]
    return corrupted


def noise(gray: np.ndarray, deviation: float, rng: np.random.Generator) -> np.ndarray:
    """Magnitude after complex Gaussian noise (Gudbjartsson and Patz, The Rician distribution of noisy MRI data, 1995).

    Args:
        deviation: of each channel, relative to the image's bright grey (99th percentile).
    """
    real, imaginary = rng.standard_normal((2, *gray.shape), np.float32) * np.float32(deviation * _bright(gray))
    return np.hypot(gray + real, imaginary)


def bias_field(gray: np.ndarray, ratio: float, rng: np.random.Generator) -> np.ndarray:
    """Shading by exp of a random cubic polynomial (Van Leemput et al., Automated model-based bias field correction of
    MR images of the brain, 1999), with mean 1.

    Args:
        ratio: of the largest to the smallest value of the field within the head's radius.
    """
    y, x = np.meshgrid(*(np.linspace(-1, 1, side) for side in gray.shape), indexing="ij")
    surface = sum(rng.standard_normal() * y**i * x**j for i in range(BIAS_ORDER + 1) for j in range(BIAS_ORDER + 1 - i))
    # Scaled and clipped to the head's radius: polynomials are steepest in the corners, where they are invisible.
    middle = surface[np.hypot(x, y) <= HEAD_REACH]
    steps = np.clip((surface - middle.min()) / np.ptp(middle), 0, 1)
    field = ratio**steps
    return gray * (field / field.mean()).astype(np.float32)


def contrast(gray: np.ndarray, factor: float, rng: np.random.Generator) -> np.ndarray:
    """A narrower or wider window about the mean grey of the head: contrast multiplied or divided by `factor`."""
    middle = gray[_head(gray)].mean()
    return middle + (gray - middle) * factor ** _sign(rng)


def gamma(gray: np.ndarray, exponent: float, rng: np.random.Generator) -> np.ndarray:
    """A different display curve: grey (in 0 … 1) to the power of `exponent` (darker) or its inverse (brighter)."""
    return 255 * (gray / 255) ** (exponent ** _sign(rng))


def blur(gray: np.ndarray, deviation: float, rng: np.random.Generator) -> np.ndarray:
    """Gaussian blur with a standard deviation of `deviation` image sides."""
    return ndimage.gaussian_filter(gray, deviation * max(gray.shape))


def low_resolution(gray: np.ndarray, factor: float, rng: np.random.Generator) -> np.ndarray:
    """Shrinks by `factor` and enlarges again, like a thumbnail or a coarse scan matrix."""
    height, width = gray.shape
    small = cv2.resize(gray, (round(width / factor), round(height / factor)), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


def ghosting(gray: np.ndarray, amplitude: float, rng: np.random.Generator) -> np.ndarray:
    """Periodic head motion during line-by-line filling of k-space, which replicates edges along one axis.

    Each line gets the phase of the displacement at its time (Wood and Henkelman, MR image artifacts from periodic
    motion, 1985).

    Args:
        amplitude: of the sinusoidal motion along the randomly drawn phase-encoding axis, in image sides.
    """
    upright = rng.random() < 0.5
    lines = np.fft.fft(gray if upright else gray.T, axis=0)
    frequency = np.fft.fftfreq(len(lines))  # cycles per pixel
    time = frequency * len(lines) / rng.uniform(*GHOST_PERIOD) + rng.random()  # cycles of the motion
    shift = amplitude * len(lines) * np.sin(2 * np.pi * time)
    moved = np.abs(np.fft.ifft(lines * np.exp(-2j * np.pi * frequency * shift)[:, None], axis=0))
    return (moved if upright else moved.T).astype(np.float32)


def zoom(gray: np.ndarray, factor: float, rng: np.random.Generator) -> np.ndarray:
    """Enlarges by `factor` about the centre, cutting the margins, or shrinks by it, adding black ones."""
    height, width = gray.shape
    about_center = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), 0, factor ** _sign(rng))
    return cv2.warpAffine(gray, about_center, (width, height), flags=cv2.INTER_LINEAR)


def crop_borders(gray: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Removes `share` of the margins around the head's bounding box and stretches the rest to the full size."""
    head = _head(gray)
    cuts = []
    for side, occupied in zip(gray.shape, (head.any(axis=1), head.any(axis=0)), strict=True):
        inside = np.flatnonzero(occupied)
        cuts.append(slice(round(share * inside[0]), side - round(share * (side - 1 - inside[-1]))))
    return cv2.resize(gray[tuple(cuts)], gray.shape[::-1], interpolation=cv2.INTER_LINEAR)


CORRUPTIONS = {
    "noise": Corruption(
        noise,
        (0.015, 0.03, 0.05, 0.075, 0.105),
        "Rician noise; strength: its standard deviation as a share of the image's bright grey.",
    ),
    "bias_field": Corruption(
        bias_field,
        (1.3, 1.7, 2.3, 3.2, 4.5),
        "Smooth shading as of a surface coil; strength: brightest over darkest place of the field.",
    ),
    "contrast": Corruption(
        contrast,
        (1.15, 1.35, 1.6, 1.9, 2.3),
        "A narrower or wider window; strength: factor by which contrast is multiplied or divided.",
    ),
    "gamma": Corruption(
        gamma,
        (1.15, 1.3, 1.5, 1.8, 2.2),
        "A display curve that darkens or brightens; strength: the exponent, or one over it.",
    ),
    "blur": Corruption(
        blur,
        (0.004, 0.006, 0.0085, 0.011, 0.014),
        "Gaussian blur; strength: its standard deviation as a share of the side.",
    ),
    "low_resolution": Corruption(
        low_resolution,
        (1.25, 1.6, 2.0, 2.5, 3.0),
        "Shrunk and enlarged again; strength: the factor.",
    ),
    "ghosting": Corruption(
        ghosting,
        (0.002, 0.0035, 0.005, 0.0075, 0.0105),
        "Ghosts of periodic head motion; strength: its amplitude as a share of the side.",
    ),
    "zoom": Corruption(
        zoom,
        (1.05, 1.1, 1.17, 1.25, 1.35),
        "Enlarged or shrunk about the centre; strength: the factor, or one over it.",
    ),
    "crop_borders": Corruption(
        crop_borders,
        (0.2, 0.4, 0.6, 0.8, 1.0),
        "Black margins cut and the rest stretched to the full size; strength: share of the margins.",
    ),
}


def _bright(gray: np.ndarray) -> float:
    """The image's bright grey: its 99th percentile, robust to single white pixels."""
    return float(np.percentile(gray, 99))


def _head(gray: np.ndarray) -> np.ndarray:
    """Head mask [H, W] bool; the whole image if no head is found."""
    pixels = np.clip(np.rint(gray), 0, 255).astype(np.uint8)
    found = head_mask(cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB)[None])[0]
    return found if found.any() else ~found


def _sign(rng: np.random.Generator) -> int:
    return 1 if rng.random() < 0.5 else -1
