"""Effects of scanner and display on an ideal image: blur, shading, noise, window."""

import cv2
import numpy as np
from scipy import ndimage


def blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Point spread of the scan, `sigma` in pixels."""
    return ndimage.gaussian_filter(image, sigma)


def bias_field(rng: np.random.Generator, shape: tuple[int, int], strength: float) -> np.ndarray:
    """Smooth positive shading [H, W] about 1: exp of a random second-order polynomial with sigma `strength`."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    terms = np.stack([x, y, x * y, x * x - 1 / 3, y * y - 1 / 3])
    return np.exp(strength * np.tensordot(rng.standard_normal(len(terms)), terms, 1)).astype(np.float32)


def coil(height: np.ndarray, strength: float) -> np.ndarray:
    """Sensitivity of a head coil at z = `height` mm: 1 at the brain, decreasing towards the neck.

    At strength 1 it is one half at −110 mm.
    """
    below = np.maximum(-45 - height, 0) / 65
    return 1 / (1 + strength * below**2)


def rician(rng: np.random.Generator, image: np.ndarray, sigma: float) -> np.ndarray:
    """Magnitude of the image with complex Gaussian noise of standard deviation `sigma` in each channel.

    Source: Gudbjartsson and Patz, The Rician distribution of noisy MRI data, 1995.
    """
    real, imaginary = rng.standard_normal((2, *image.shape), np.float32) * np.float32(sigma)
    return np.hypot(image + real, imaginary)


def window(image: np.ndarray, reference: float, level: float, gamma: float) -> np.ndarray:
    """8-bit image in which `reference` has grey `level` (0..255), with display gamma, clipped."""
    shown = (np.maximum(image, 0) / reference) ** gamma * level
    return np.clip(np.rint(shown), 0, 255).astype(np.uint8)


def sharpen(image: np.ndarray, amount: float) -> np.ndarray:
    """Unsharp masking of an 8-bit image, as in viewers."""
    detail = image - ndimage.gaussian_filter(image.astype(np.float32), 1.0)
    return np.clip(np.rint(image + amount * detail), 0, 255).astype(np.uint8)


def compress(image: np.ndarray, quality: int) -> np.ndarray:
    """The image after JPEG compression at `quality` (1..100), as in public data sets."""
    return cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_GRAYSCALE)
