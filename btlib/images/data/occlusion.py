"""Which part of an image a net can answer from: head and brain masks, and images with a part taken away.

A net that still names the class when the brain is black, or when only the background is left, answers from something
other than the lesion: the scanner, the cropping or the compression of the source.
"""

import cv2
import numpy as np
from scipy import ndimage

GRAIN = 0.012  # share of the longer side: the blur before the threshold, which takes away noise and JPEG's blocks
LEVEL = 0.6  # of the way from the background to Otsu's threshold, which alone would lose a dim scalp
NECK = 0.02  # share of the longer side: bridges to a ghost or a frame of the background thinner than twice this go
GAP = 0.04  # share of the longer side: gaps in the outline (skull, air) narrower than twice this are bridged
SKULL = 0.08  # of the head's width: scalp and skull together, about 12 of 150 mm


def head_mask(images: np.ndarray) -> np.ndarray:
    """The head with all that it encloses: threshold, gaps closed, holes filled, largest component.

    Serves T1, T2 and FLAIR, since a head is brighter than air on each. The threshold lies between the image's own
    background and Otsu's threshold (Otsu, A threshold selection method from gray-level histograms, 1979), so that a
    dark window or a lifted background does not matter.

    Args:
        images: uint8 [N, H, W, 3], a bright head on a dark background.

    Returns:
        bool [N, H, W]; all False for a blank image.
    """
    return np.stack([_head(image) for image in images])


def brain_mask(heads: np.ndarray) -> np.ndarray:
    """Roughly the brain: the head less a rim of `SKULL` of its width, except where the image's edge cuts the head.

    An approximation by geometry alone. It is right within some millimetres on axial slices above the orbits; on
    others, what of face and neck lies inside the rim stays in.

    Args:
        heads: bool [N, H, W], from `head_mask`.

    Returns:
        bool [N, H, W].
    """
    return np.stack([_morph(head, cv2.MORPH_ERODE, SKULL * head_width(head)) for head in heads])


def head_width(head: np.ndarray) -> float:
    """Pixels: the diameter of the circle that has the area of the mask [H, W]."""
    return 2 * float(np.sqrt(head.sum() / np.pi))


def without_brain(images: np.ndarray) -> np.ndarray:
    """The images with the brain (`brain_mask`) black, uint8 [N, H, W, 3].

    Black and not the mean grey, since the mean tells the contrast of the scan, and a bright lesion raises it: nothing
    of what was there may show. What of a lesion lies in the rim, such as a meningioma's base, stays.
    """
    return _kept(images, ~brain_mask(head_mask(images)))


def background_only(images: np.ndarray) -> np.ndarray:
    """The images with the head (`head_mask`) black, uint8 [N, H, W, 3]. Its outline still shows in noisy ones."""
    return _kept(images, ~head_mask(images))


def border_only(images: np.ndarray, pixels: int) -> np.ndarray:
    """The images with all black but a frame `pixels` wide along the edges, uint8 [N, H, W, 3].

    A head that reaches the edge shows in the frame; `background_only` keeps none.
    """
    height, width = images.shape[1:3]
    frame = np.ones(images.shape[:3], bool)
    frame[:, pixels : height - pixels, pixels : width - pixels] = False
    return _kept(images, frame)


def _kept(images: np.ndarray, kept: np.ndarray) -> np.ndarray:
    return np.where(kept[..., None], images, np.uint8(0))


def _head(image: np.ndarray) -> np.ndarray:
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    side = max(gray.shape)
    smooth = cv2.GaussianBlur(gray, (0, 0), GRAIN * side)
    otsu, _ = cv2.threshold(smooth, 0, 255, cv2.THRESH_OTSU)
    background = np.percentile(smooth, 1)
    bright = smooth > background + LEVEL * max(otsu - background, 0)
    # Filled before the largest part is picked: a dark skull may part the scalp from the brain.
    filled = ndimage.binary_fill_holes(_closed(bright, GAP * side))
    return _largest(_morph(filled, cv2.MORPH_OPEN, NECK * side))


def _largest(mask: np.ndarray) -> np.ndarray:
    """The largest connected component of a mask, which may be empty."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    areas = stats[1:, cv2.CC_STAT_AREA]  # row 0 is the background
    return labels == 1 + areas.argmax() if len(areas) else mask


def _closed(mask: np.ndarray, radius: float) -> np.ndarray:
    """Closing on a wider canvas, since a head that nearly reaches the image's edge is not to grow into it."""
    width = round(radius) + 1
    return _morph(np.pad(mask, width), cv2.MORPH_CLOSE, radius)[width:-width, width:-width]


def _morph(mask: np.ndarray, operation: int, radius: float) -> np.ndarray:
    """Erosion, opening or closing by a disc; OpenCV takes the image's edge for no border of the mask."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * round(radius) + 1,) * 2)
    return cv2.morphologyEx(mask.astype(np.uint8), operation, disc).astype(bool)
