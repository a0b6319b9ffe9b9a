"""Pasted lesions on a synthetic head: place, size, brightness, and unchanged parts."""

from types import SimpleNamespace

import numpy as np
import pytest

from btlib.images.data.lesion_paste import paste_lesion
from btlib.images.data.occlusion import brain_mask, head_mask, head_width

SIDE = 128


def ellipse(semi: tuple[float, float], center: tuple[float, float] = (64, 64), side: int = SIDE) -> np.ndarray:
    y, x = np.mgrid[:side, :side]
    return ((y - center[0]) / semi[0]) ** 2 + ((x - center[1]) / semi[1]) ** 2 <= 1


def head(neck: bool = False) -> np.ndarray:
    """An axial head, or one with a neck; non-periodic brain of grey 80 to 120, uint8 [S, S, 3]."""
    y, x = np.mgrid[:SIDE, :SIDE]
    image = np.zeros((SIDE, SIDE))
    if neck:
        image[64:, 44:84] = 150
    image[ellipse((56, 46))] = 220
    image[ellipse((52, 42))] = 20
    brain = ellipse((48, 38))
    image[brain] = (100 + 14 * np.sin(y / 3) + 6 * np.cos(x / 2))[brain]
    return np.repeat(np.rint(image).astype(np.uint8)[..., None], 3, axis=2)


def patch(label: str, shape: np.ndarray, difference: float = 1.0, share: float = 0.3) -> SimpleNamespace:
    """A lesion that fills `shape`, bool [P, P]."""
    return SimpleNamespace(
        difference=np.where(shape, difference, 0).astype(np.float32),
        opacity=shape.astype(np.float32),
        mask=shape,
        share=share,
        label=label,
    )


DISC = ellipse((31, 31), (31.5, 31.5), 64)
BELOW = DISC & (np.arange(64)[:, None] > 31)  # inner side of a dura through the centre


def pasted(label: str, shape: np.ndarray = DISC, image: np.ndarray | None = None, seed: int = 0, **values):
    return paste_lesion(head() if image is None else image, patch(label, shape, **values), np.random.default_rng(seed))


def center(mask: np.ndarray) -> np.ndarray:
    return np.argwhere(mask).mean(axis=0)


@pytest.mark.parametrize("label", ["glioma", "meningioma", "pituitary"])
def test_only_the_lesion_changes(label):
    image = head()
    before = image.copy()
    changed, mask = pasted(label, image=image)
    assert np.array_equal(image, before) and changed.dtype == np.uint8 and changed.shape == image.shape
    assert mask.dtype == bool and mask.any()
    # outside the mask only the lesion's border changes, which is soft by half a pixel
    near = np.hypot(*(np.indices(mask.shape).T - center(mask)).T) < 0.3 * 110
    assert np.array_equal(changed[~near], image[~near])
    assert changed[mask].mean() > image[mask].mean() + 20


@pytest.mark.parametrize("seed", range(5))
def test_glioma_is_inside_the_brain_off_the_midline(seed):
    _, mask = pasted("glioma", seed=seed)
    assert abs(center(mask)[1] - 64) > 8
    assert mask[ellipse((49, 39))].sum() > 0.97 * mask.sum()
    # a disc of 31/32 of half of 0.3 head widths
    width = head_width(head_mask(head()[None])[0])
    assert mask.sum() == pytest.approx(np.pi * (0.15 * width * 31 / 32) ** 2, rel=0.06)


@pytest.mark.parametrize("seed", range(5))
def test_meningioma_is_at_the_edge_with_its_base_outwards(seed):
    _, mask = pasted("meningioma", BELOW, seed=seed)
    brain = brain_mask(head_mask(head()[None]))[0]
    # in the opposite direction, the half disc would be hidden in the skull
    assert mask.sum() > 0.75 * BELOW.sum() * (0.3 * head_width(head_mask(head()[None])[0]) / 64) ** 2
    assert (np.hypot(*np.gradient(brain.astype(float))) > 0)[mask].any()


def test_pituitary_tumor_is_on_the_midline_and_lower_with_a_neck():
    _, axial = pasted("pituitary")
    _, coronal = pasted("pituitary", image=head(neck=True))
    assert center(axial)[1] == pytest.approx(64, abs=1) and center(coronal)[1] == pytest.approx(64, abs=1)
    assert center(axial)[0] == pytest.approx(8 + 0.45 * 112, abs=2)
    assert center(coronal)[0] == pytest.approx(8 + 0.56 * 120, abs=2)


def test_glioma_is_not_in_the_neck():
    for seed in range(10):
        _, mask = pasted("glioma", image=head(neck=True), seed=seed)
        assert center(mask)[0] < 8 + 0.55 * 120


def test_lesion_brightness_follows_the_images_own_scale():
    image = head()
    values = image[..., 0][brain_mask(head_mask(image[None]))[0]]
    low, level, high = np.percentile(values, (5, 50, 95))
    for difference in (0.25, 0.0, -0.25):
        changed, mask = pasted("glioma", difference=difference)
        # saturation has little effect this far from the brightest and the darkest
        assert changed[mask].mean() == pytest.approx(level + difference * (high - low), abs=3)


def test_bright_lesion_stays_within_the_heads_greys():
    changed, mask = pasted("glioma", difference=50.0)
    assert 215 < changed[mask].mean() < 227


def test_opaque_lesion_hides_the_image():
    image = head()
    sulci = ellipse((46, 36)) & (np.arange(SIDE)[:, None] % 12 < 3)
    image[sulci] = 30
    changed, mask = pasted("glioma", image=image)
    crossed = mask & sulci
    assert crossed.sum() > 50
    assert changed[crossed].mean() == pytest.approx(changed[mask].mean(), abs=3)


def test_without_a_head_nothing_is_pasted():
    blank = np.full((32, 32, 3), 9, np.uint8)
    changed, mask = pasted("glioma", image=blank)
    assert np.array_equal(changed, blank) and not mask.any()
