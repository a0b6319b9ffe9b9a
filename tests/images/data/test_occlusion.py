"""Head and brain masks against ellipses of known size, and the parts kept by occlusions."""

import cv2
import numpy as np
import pytest

from btlib.images.data.occlusion import background_only, border_only, brain_mask, head_mask, head_width, without_brain

SIDE = 128
# Grey of scalp, skull, brain and ventricles in each contrast.
CONTRASTS = {"t1": (230, 25, 120, 30), "t2": (70, 15, 100, 240), "flair": (130, 15, 115, 25)}


def ellipse(semi: tuple[float, float], center: tuple[float, float] = (64, 60), side: int = SIDE) -> np.ndarray:
    y, x = np.mgrid[:side, :side]
    return ((y - center[0]) / semi[0]) ** 2 + ((x - center[1]) / semi[1]) ** 2 <= 1


def head(contrast: str, background: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """A noisy JPEG of a layered head, uint8 [S, S, 3], and the head's mask."""
    image = np.full((SIDE, SIDE), background, float)
    for semi, gray in zip(((52, 42), (48, 38), (44, 34), (14, 10)), CONTRASTS[contrast], strict=True):
        image[ellipse(semi)] = gray
    image = np.hypot(image + np.random.default_rng(0).normal(0, 4, image.shape), 3)
    jpeg = cv2.imencode(".jpg", np.clip(image, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 60])[1]
    return np.repeat(cv2.imdecode(jpeg, cv2.IMREAD_GRAYSCALE)[..., None], 3, axis=2), ellipse((52, 42))


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    return (first & second).sum() / (first | second).sum()


@pytest.mark.parametrize("contrast", CONTRASTS)
@pytest.mark.parametrize("background", [0, 20])
def test_the_head_is_found_on_every_contrast(contrast, background):
    image, truth = head(contrast, background)
    assert overlap(head_mask(image[None])[0], truth) > 0.92


def test_the_head_does_not_depend_on_the_window():
    image, _ = head("t1")
    dark = (image // 3).astype(np.uint8)
    assert overlap(*head_mask(np.stack([image, dark]))) > 0.97


def test_marks_beside_the_head_are_excluded():
    image, truth = head("flair")
    image[4:12, 108:124] = 255
    found = head_mask(image[None])[0]
    assert overlap(found, truth) > 0.92 and not found[:14, 100:].any()


def test_scalp_gap_is_closed_without_reaching_a_near_edge():
    image, truth = head("t2")
    image[58:64, :30] = 3
    assert head_mask(image[None])[0][40:90, 50:70].all()
    shifted = np.roll(image, -16, axis=1)  # the head now begins 2 pixels from the left edge
    assert not head_mask(shifted[None])[0][:, 0].any()
    assert truth[:, 18].any() and not truth[:, 17].any()


def test_a_blank_image_has_no_head():
    assert not head_mask(np.full((1, 32, 32, 3), 9, np.uint8)).any()


def test_brain_is_the_head_without_a_rim():
    disc = ellipse((50, 50), (64, 64))
    assert head_width(disc) == pytest.approx(100, rel=0.01)
    # a rim of 0.08 × 100 pixels leaves a disc of radius 42
    assert overlap(brain_mask(disc[None])[0], ellipse((42, 42), (64, 64))) > 0.97


def test_no_rim_at_the_images_edge():
    cut = ellipse((50, 50), (0, 64))
    brain = brain_mask(cut[None])[0]
    assert brain[0, 64] and not brain[48, 64]
    assert brain_mask(np.ones((1, 20, 20), bool)).all()


def test_without_brain_keeps_only_scalp_and_background():
    image, _ = head("t1")
    image[60:70, 50:60] = 255  # a lesion
    kept = without_brain(image[None])[0]
    assert (kept[ellipse((40, 30))] == 0).all()
    outside = ~ellipse((49, 39))
    assert np.array_equal(kept[outside], image[outside])


def test_background_only():
    image, truth = head("t1", background=20)
    kept = background_only(image[None])[0]
    assert (kept[truth].mean(axis=-1) > 0).mean() < 0.02
    far = ~ellipse((58, 48))
    assert np.array_equal(kept[far], image[far])


def test_border_has_the_requested_width():
    image = np.full((2, 10, 8, 3), 7, np.uint8)
    kept = border_only(image, 2)
    assert kept.shape == image.shape and kept.dtype == np.uint8
    assert (kept[:, 2:8, 2:6] == 0).all()
    assert (kept > 0).sum() == 2 * 3 * (10 * 8 - 6 * 4)
