"""Pastes a lesion into an image without one: contrast, source and anatomy stay, only the lesion is new.

A network that relies on lesions changes its prediction; one that relies on contrast or source does not.
"""

from typing import Protocol

import cv2
import numpy as np

from btlib.images.data.occlusion import brain_mask, head_mask, head_width

GRAIN = 0.01  # of the head's width: finer detail is noise, except at edges
SMOOTHING = 0.7  # pixels: smoothing of noise by interpolation, as in published images
SOFT = 0.01  # of the head's width: width of a lesion's edge at the skull
OFF_CENTER = 0.14  # of the head's width: smallest distance of a glioma from the midline and from the skull
CEREBRUM = 0.55  # of the height of a head with a neck: the brain is above
SELLA = 0.45  # of the height of an axial head, from the front
SELLA_ABOVE_NECK = 0.56  # of the height of a head with a neck, from the vertex


class Patch(Protocol):
    """A lesion to paste, such as `btlib.phantom.lesion_patches.LesionPatch`, which documents the fields."""

    difference: np.ndarray
    opacity: np.ndarray
    mask: np.ndarray
    share: float
    label: str


def paste_lesion(image: np.ndarray, patch: Patch, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Blends a lesion into the image at a site typical of its class, in the image's own grey scale.

    A glioma is placed in the brain off the midline, a meningioma at the inner edge of the skull with its base outwards,
    a pituitary tumour on the midline at the sella. Sites are derived from the outline of the head alone, so a pituitary
    tumour is realistic only on slices through the skull base, and surrounding tissue is not displaced.

    Args:
        image: uint8 [H, W, 3], with anterior or the vertex at the top.

    Returns:
        The image, uint8 [H, W, 3] with equal channels, and the mask of the tumour without its oedema, bool [H, W]. If
        no head is found, the unchanged image and an empty mask.
    """
    head = head_mask(image[None])[0]
    brain = brain_mask(head[None])[0]
    if not brain.any():
        return image.copy(), np.zeros(head.shape, bool)
    width = head_width(head)
    middle, up = _site(patch.label, head, brain, width, rng)
    placed = _placement(patch, middle, up, width)
    size = head.shape[::-1]
    room = cv2.GaussianBlur((head if patch.label == "pituitary" else brain).astype(np.float32), (0, 0), SOFT * width)
    opacity = cv2.warpAffine(patch.opacity, placed, size) * room
    difference = cv2.warpAffine(patch.difference, placed, size, borderMode=cv2.BORDER_REPLICATE)
    mask = cv2.warpAffine(patch.mask.astype(np.float32), placed, size) * room > 0.5
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    lesion = _shade(difference, gray[brain], gray[head]) + _grain(gray, brain, width, rng)
    pasted = gray + opacity * (lesion - gray)
    return np.repeat(np.clip(np.rint(pasted), 0, 255).astype(np.uint8)[..., None], 3, axis=2), mask


def _shade(difference: np.ndarray, brain: np.ndarray, head: np.ndarray) -> np.ndarray:
    """Greys of the lesion in the image's own scale, saturating towards the head's darkest and brightest values.

    Without saturation, enhancing parts would be uniformly white if the window is narrow.
    """
    low, level, high = np.percentile(brain, (5, 50, 95))
    darkest, brightest = np.percentile(head, (1, 99.5))
    reach = np.maximum(np.where(difference > 0, brightest - level, level - darkest), 1)
    return level + reach * np.tanh(difference * (high - low) / reach)


def _grain(gray: np.ndarray, brain: np.ndarray, width: float, rng: np.random.Generator) -> np.ndarray:
    """Noise [H, W] as strong and smooth as the image's own; the median is robust to sulci and other edges."""
    fine = gray - cv2.GaussianBlur(gray, (0, 0), GRAIN * width)
    drawn = rng.normal(0, np.median(np.abs(fine[brain])), gray.shape)
    return cv2.GaussianBlur(drawn, (0, 0), SMOOTHING)


def _site(
    label: str, head: np.ndarray, brain: np.ndarray, width: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Centre of the patch (row, column), and its upward direction as a unit vector (row, column)."""
    rows = np.flatnonzero(head.any(axis=1))
    top, height = rows[0], len(rows)
    neck = bool(head[-1].any())
    midline = np.median(np.nonzero(head[: top + height // 2])[1])
    if label == "pituitary":
        return np.array([top + (SELLA_ABOVE_NECK if neck else SELLA) * height, midline]), np.array([-1.0, 0.0])
    allowed = brain.copy()
    if neck:
        allowed[int(top + CEREBRUM * height) :] = False
    if label == "glioma":
        middle = _glioma_site(allowed, brain, midline, OFF_CENTER * width, rng)
        turn = rng.uniform(0, 2 * np.pi)
        return middle, np.array([-np.cos(turn), np.sin(turn)])
    return _dural_site(allowed, brain, width, rng)


def _glioma_site(
    allowed: np.ndarray, brain: np.ndarray, midline: float, distance: float, rng: np.random.Generator
) -> np.ndarray:
    depth = cv2.distanceTransform(brain.astype(np.uint8), cv2.DIST_L2, 5)
    aside = np.abs(np.arange(brain.shape[1]) - midline) > distance
    found = np.argwhere(allowed & (depth > distance) & aside)
    return _draw_place(found if len(found) else np.argwhere(allowed), rng)


def _dural_site(
    allowed: np.ndarray, brain: np.ndarray, width: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A point on the brain's edge, except where the image cuts the head, and the outward direction there."""
    edge = brain & (cv2.erode(brain.astype(np.uint8), np.ones((3, 3), np.uint8)) == 0)
    middle = _draw_place(np.argwhere(edge & allowed), rng)
    slope = np.gradient(cv2.GaussianBlur(brain.astype(np.float32), (0, 0), 0.06 * width))
    inwards = np.array([part[tuple(middle)] for part in slope])
    return middle, -inwards / np.linalg.norm(inwards)


def _draw_place(places: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return places[rng.integers(len(places))]


def _placement(patch: Patch, middle: np.ndarray, up: np.ndarray, width: float) -> np.ndarray:
    """The affine map [2, 3] from (x, y) of the patch to (x, y) of the image."""
    side = len(patch.opacity)
    scale = patch.share * width / side
    down = -up[::-1]  # x, y
    right = np.array([down[1], -down[0]])
    turned = scale * np.stack([right, down], axis=1)
    center = np.full(2, (side - 1) / 2)
    return np.column_stack([turned, middle[::-1] - turned @ center])
