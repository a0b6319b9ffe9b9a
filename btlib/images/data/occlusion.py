"""Head and brain masks, and images with a part occluded, to find out which part a network relies on.

A network that still predicts the class when the brain is black, or when only the background is left, relies on
something other than the lesion: the scanner, the cropping or the compression of the source.
"""

import cv2
import numpy as np
from scipy import ndimage

GRAIN = 0.012  # share of the longer side: blur before thresholding, which removes noise and JPEG blocks
LEVEL = 0.6  # of the way from the background to Otsu's threshold, which by itself would miss a dim scalp
NECK = 0.02  # share of the longer side: removes bridges to ghosts or frames thinner than twice this
GAP = 0.04  # share of the longer side: closes gaps in the outline (skull, air) narrower than twice this
SKULL = 0.08  # of the head's width: scalp and skull together, about 12 of 150 mm


def head_mask(images: np.ndarray) -> np.ndarray:
    """The head including its interior: threshold, close gaps, fill holes, keep the largest component.

    Works for T1, T2 and FLAIR, since the head is brighter than air in each. The threshold is between the image's
    background and Otsu's threshold (Otsu, A threshold selection method from gray-level histograms, 1979), which makes
    it robust to a dark window or a raised background.

    Args:
        images: uint8 [N, H, W, 3], a bright head on a dark background.

    Returns:
        bool [N, H, W]; all False for a blank image.
    """
    return np.stack([_head(image) for image in images])


def brain_mask(heads: np.ndarray) -> np.ndarray:
    """Approximate brain: the head without a rim of `SKULL` of its width, except where the image's edge cuts the head.

    Purely geometric. It is accurate to some millimetres on axial slices above the orbits; on others, parts of face and
    neck inside the rim are included.

    Args:
        heads: bool [N, H, W], from `head_mask`.

    Returns:
        bool [N, H, W].
    """
    return np.stack([_morph(head, cv2.MORPH_ERODE, SKULL * head_width(head)) for head in heads])


def head_width(head: np.ndarray) -> float:
    """Width in pixels: the diameter of a circle with the area of the mask [H, W]."""
    return 2 * float(np.sqrt(head.sum() / np.pi))


def without_brain(images: np.ndarray) -> np.ndarray:
    """The images with the brain (`brain_mask`) black, uint8 [N, H, W, 3].

    Black rather than the mean grey, since the mean reveals the contrast of the scan and is raised by a bright lesion.
    Parts of a lesion in the rim, such as a meningioma's base, remain.
    """
    return _mask_images(images, ~brain_mask(head_mask(images)))


def background_only(images: np.ndarray) -> np.ndarray:
    """The images with the head (`head_mask`) black, uint8 [N, H, W, 3]. Its outline remains visible in noisy ones."""
    return _mask_images(images, ~head_mask(images))


def border_only(images: np.ndarray, pixels: int) -> np.ndarray:
    """The images with everything black except a frame `pixels` wide along the edges, uint8 [N, H, W, 3].

    A head that reaches the edge is visible in the frame, unlike in `background_only`.
    """
    height, width = images.shape[1:3]
    frame = np.ones(images.shape[:3], bool)
    frame[:, pixels : height - pixels, pixels : width - pixels] = False
    return _mask_images(images, frame)


def _mask_images(images: np.ndarray, kept: np.ndarray) -> np.ndarray:
    return np.where(kept[..., None], images, np.uint8(0))


def _head(image: np.ndarray) -> np.ndarray:
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    side = max(gray.shape)
    smooth = cv2.GaussianBlur(gray, (0, 0), GRAIN * side)
    otsu, _ = cv2.threshold(smooth, 0, 255, cv2.THRESH_OTSU)
    background = np.percentile(smooth, 1)
    bright = smooth > background + LEVEL * max(otsu - background, 0)
    # Filled before the largest part is chosen: a dark skull may separate the scalp from the brain.
    filled = ndimage.binary_fill_holes(_close(bright, GAP * side))
    return _largest(_morph(filled, cv2.MORPH_OPEN, NECK * side))


def _largest(mask: np.ndarray) -> np.ndarray:
    """The largest connected component of a mask, which may be empty."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    areas = stats[1:, cv2.CC_STAT_AREA]  # row 0 is the background
    return labels == 1 + areas.argmax() if len(areas) else mask


def _close(mask: np.ndarray, radius: float) -> np.ndarray:
    """Closing on a padded canvas, so that a head near the image's edge does not grow into it."""
    width = round(radius) + 1
    return _morph(np.pad(mask, width), cv2.MORPH_CLOSE, radius)[width:-width, width:-width]


def _morph(mask: np.ndarray, operation: int, radius: float) -> np.ndarray:
    """Erosion, opening or closing by a disc; for OpenCV the image's edge is not a border of the mask."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * round(radius) + 1,) * 2)
    return cv2.morphologyEx(mask.astype(np.uint8), operation, disc).astype(bool)
