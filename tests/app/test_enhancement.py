"""Detection of the contrast agent from images alone, on synthetic heads."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from btlib.app.scans.enhancement import Enhancement, enhancement, excess

SHAPE = (48, 48, 40)
INSIDE = sum(axis**2 for axis in np.meshgrid(*[np.linspace(-1, 1, side) for side in SHAPE], indexing="ij")) < 0.8


def head(key, given):
    """Smooth tissue with noise; if `given`, thin vessels and a lesion of 1 % are bright."""
    tissue = gaussian_filter(np.random.default_rng(0).normal(size=SHAPE), 3)
    tissue = 400 + 1500 * tissue / tissue.std() * 0.05
    if given:
        tissue[10:12, 19:21] += 500
        tissue[22:24, 10:12] += 500
        tissue[30:37, 30:37, 18:25] += 400
    noise = np.random.default_rng(key).normal(scale=8, size=SHAPE)
    return np.where(INSIDE, np.maximum(tissue + noise, 1), 0).astype(np.float32)


T1, T1CE = head(1, False), head(2, True)


@pytest.mark.parametrize(
    "change",
    [
        lambda image: image,
        lambda image: 0.2 * image,
        lambda image: np.where(INSIDE, 3 * image**0.7, 0),
        lambda image: image * np.linspace(0.8, 1.2, SHAPE[0], dtype=np.float32)[:, None, None],
    ],
    ids=["unchanged", "other scale", "other curve", "bias field"],
)
def test_brighter_vessels_reveal_contrast(change):
    assert enhancement(T1, change(T1CE)) is enhancement(change(T1), T1CE) is Enhancement.FOR
    assert enhancement(T1CE, change(T1)) is enhancement(change(T1CE), T1) is Enhancement.AGAINST


@pytest.mark.parametrize("given", [False, True])
def test_two_scans_of_one_kind_are_undecided(given):
    other = head(4, given)[:, :, ::-1].copy()  # not the same image
    assert enhancement(head(3, given), other) is Enhancement.UNDECIDED


def test_same_image_in_any_scaling():
    assert enhancement(T1, T1) is enhancement(T1, 3 * T1 + 5 * INSIDE) is Enhancement.SAME


def test_too_few_voxels_are_undecided():
    assert enhancement(T1, np.zeros_like(T1)) is Enhancement.UNDECIDED
    assert enhancement(T1[:6, 20:26, 20:26], T1CE[:6, 20:26, 20:26]) is Enhancement.UNDECIDED
    assert enhancement(INSIDE * 7.0, T1CE) is Enhancement.UNDECIDED


def test_excess_by_hand():
    reference = np.arange(4000.0)
    values = np.tile([-10.0, 0, 0, 10], 1000)  # the median of each level is 0, 90 % are between -10 and 10
    assert excess(reference, values) == pytest.approx(0)
    values[::40] = 50  # 2.5 % of the voxels, none of which was 10
    assert excess(reference, values) == pytest.approx((50 - 10) / 20)
