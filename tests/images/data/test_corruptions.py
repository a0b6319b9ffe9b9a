"""Corruptions against values computed by hand, and their common properties."""

import numpy as np
import pytest

from btlib.core.runtime.errors import InputError
from btlib.images.data import corruptions
from btlib.images.data.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from btlib.report.figures.corruptions import corruption_sheet
from tests.images.data.samples import picture


def heads(count: int = 4, side: int = 96) -> np.ndarray:
    """Textured discs on black, uint8 [N, S, S, 3]."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    inside = np.hypot(y / 1.15, x) < 0.36 * side
    return np.stack([np.where(inside[..., None], picture(n, side, side) // 2 + 90, 0) for n in range(count)]).astype(
        np.uint8
    )


def fixed(heads_or_tails: float) -> np.random.Generator:
    """A generator whose first draw of random() is below (heads) or above (tails) one half."""
    return next(
        np.random.default_rng(n)
        for n in range(99)
        if (np.random.default_rng(n).random() < 0.5) == (heads_or_tails < 0.5)
    )


UP, DOWN = 0.0, 1.0


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_corruption_does_not_depend_on_the_batch(name):
    images = heads()
    before = images.copy()
    together = corrupt(images, name, 3, 0, [10, 11, 12, 13])
    alone = corrupt(images[2:3], name, 3, 0, np.array([12]))
    assert np.array_equal(images, before)
    assert np.array_equal(together[2:3], alone)
    assert together.dtype == np.uint8 and together.shape == images.shape
    assert (together == together[..., :1]).all()


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_each_severity_is_stronger_than_the_last(name):
    images = heads(8)
    distance = [
        np.abs(corrupt(images, name, severity, 0, range(8)).astype(int) - images).mean() for severity in SEVERITIES
    ]
    assert distance[0] > 0
    assert (np.diff(distance) > 0).all()
    assert list(CORRUPTIONS[name].strengths) == sorted(CORRUPTIONS[name].strengths)


@pytest.mark.parametrize("name", ["noise", "bias_field", "contrast", "gamma", "ghosting", "zoom"])
def test_draws_follow_seed_and_number(name):
    images = np.repeat(heads(1), 12, axis=0)
    drawn = corrupt(images, name, 5, 0, range(12))
    assert (drawn != drawn[0]).any()
    assert (drawn != corrupt(images, name, 5, 1, range(12))).any()


def test_unknown_names_and_severities_are_refused():
    with pytest.raises(InputError, match=r"no corruption 'fog' at severity 1; choose from noise, bias_field"):
        corrupt(heads(), "fog", 1, 0, range(4))
    with pytest.raises(InputError, match="at severity 0"):
        corrupt(heads(), "blur", 0, 0, range(4))


def test_noise_has_the_moments_of_rayleigh_and_gauss():
    gray = np.zeros((200, 200), np.float32)
    gray[100:] = 200
    noisy = corruptions.noise(gray, 0.05, np.random.default_rng(0))  # deviation 10
    assert noisy[:100].mean() == pytest.approx(10 * np.sqrt(np.pi / 2), rel=0.02)
    assert noisy[100:].std() == pytest.approx(10, rel=0.02)


def test_the_bias_field_has_mean_one_and_the_given_ratio_and_is_smooth():
    field = corruptions.bias_field(np.ones((101, 101), np.float32), 3.0, np.random.default_rng(0))
    assert field.mean() == pytest.approx(1, abs=1e-4)
    assert field.max() / field.min() == pytest.approx(3, rel=1e-3)
    assert np.abs(np.diff(field, axis=0)).max() < 0.1


@pytest.mark.parametrize(("side", "factor"), [(UP, 2.0), (DOWN, 0.5)])
def test_contrast_is_scaled_about_the_mean_of_the_head(side, factor):
    gray = np.full((64, 64), 10, np.float32)
    gray[16:48, 16:48] = 110
    changed = corruptions.contrast(gray, 2.0, fixed(side))
    assert np.ptp(changed) == pytest.approx(100 * factor)
    assert changed[32, 32] == pytest.approx(110, abs=20)  # the mask contains some background


@pytest.mark.parametrize(("side", "expected"), [(UP, 255 / 16), (DOWN, 255 / 2)])
def test_gamma_is_a_power_of_the_gray(side, expected):
    gray = np.full((2, 2), 255 / 4, np.float32)
    assert corruptions.gamma(gray, 2.0, fixed(side)) == pytest.approx(expected)


def test_blur_spreads_a_point_by_its_deviation():
    gray = np.zeros((101, 101), np.float32)
    gray[50, 50] = 1
    spread = corruptions.blur(gray, 0.03, np.random.default_rng(0))
    variance = (spread.sum(axis=1) * (np.arange(101) - 50) ** 2).sum()
    assert spread.sum() == pytest.approx(1) and variance == pytest.approx(3.03**2, rel=0.01)


def test_low_resolution_removes_finer_detail():
    checkerboard = 100 * (np.indices((32, 32)).sum(axis=0) % 2).astype(np.float32)
    assert corruptions.low_resolution(checkerboard, 2.0, np.random.default_rng(0)) == pytest.approx(50)
    assert np.array_equal(corruptions.low_resolution(checkerboard, 1.0, np.random.default_rng(0)), checkerboard)


@pytest.mark.parametrize("side", [UP, DOWN])
def test_ghosts_are_along_one_axis_and_preserve_energy(side):
    gray = np.zeros((96, 96), np.float32)
    gray[40:56, 40:56] = 100
    still = corruptions.ghosting(gray, 0.0, fixed(side))
    assert still == pytest.approx(gray, abs=1e-3)
    ghosts = corruptions.ghosting(gray, 0.01, fixed(side))
    assert (ghosts**2).sum() == pytest.approx((gray**2).sum(), rel=1e-4)
    along = ghosts if side == UP else ghosts.T
    assert along[:, :40] == pytest.approx(0, abs=1e-3)
    assert along[:36].max() > 5


@pytest.mark.parametrize(("side", "factor"), [(UP, 1.25), (DOWN, 0.8)])
def test_zoom_scales_about_the_center(side, factor):
    gray = np.zeros((101, 101), np.float32)
    gray[30:71, 30:71] = 100
    changed = corruptions.zoom(gray, 1.25, fixed(side))
    assert changed.sum() / gray.sum() == pytest.approx(factor**2, rel=0.03)
    assert changed[50, 50] == 100 and changed == pytest.approx(changed[::-1, ::-1], abs=1e-3)


def test_cropping_removes_the_given_share_of_the_margins():
    gray = np.zeros((100, 100), np.float32)
    gray[20:90, 30:70] = 150  # margins of 20 and 10 rows, 30 and 30 columns
    full = corruptions.crop_borders(gray, 1.0, np.random.default_rng(0))
    assert (full > 75).mean() > 0.9
    half = corruptions.crop_borders(gray, 0.5, np.random.default_rng(0))
    # 70 of 85 rows and 40 of 70 columns are left
    assert (half > 75).mean() == pytest.approx(70 / 85 * 40 / 70, rel=0.05)
    assert np.array_equal(corruptions.crop_borders(gray, 0.0, np.random.default_rng(0)), gray)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_blank_image(name):
    blank = np.full((1, 32, 32, 3), 40, np.uint8)
    assert corrupt(blank, name, 5, 0, [0]).shape == blank.shape


def test_the_sheet_shows_every_corruption_at_every_severity():
    image = heads(1)[0]
    figure = corruption_sheet(image, 0, 7)
    shown = [axes.images[0].get_array() for axes in figure.axes]
    assert len(shown) == len(CORRUPTIONS) * 6
    assert np.array_equal(shown[0], image)
    assert np.array_equal(shown[6 * list(CORRUPTIONS).index("blur") + 5], corrupt(image[None], "blur", 5, 0, [7])[0])
