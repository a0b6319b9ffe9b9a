import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from btlib.images.training import appearance
from btlib.images.training.appearance import KNOTS, SIDE, Looks
from btlib.images.training.augment import Strength, augmented


def looks(batch=1, **changes):
    """Nothing changes but what is named."""
    values = {
        "curve": torch.full((batch, KNOTS), torch.nan),
        "shading": torch.zeros(batch, 5),
        "blur": torch.zeros(batch),
    }
    return Looks(**values | changes)


@pytest.fixture
def image():
    """Noise in a grey image of SIDE pixels, with a black frame."""
    gray = torch.zeros(1, 1, SIDE, SIDE)
    gray[..., 20:-20, 20:-20] = torch.rand(SIDE - 40, SIDE - 40, generator=torch.Generator().manual_seed(0))
    return gray.expand(-1, 3, -1, -1).contiguous()


def test_nothing_drawn_nothing_changed(image):
    assert torch.equal(appearance.apply(image, looks()), image)


def test_a_curve_is_interpolated_between_its_knots(image):
    values = torch.tensor([[0.0, 0.5, 0.1, 0.9, 0.3, 0.8, 0.7]])
    expected = np.interp(image.numpy(), np.linspace(0, 1, KNOTS), values[0].numpy())
    np.testing.assert_allclose(appearance.apply(image, looks(curve=values)), expected, atol=1e-6)


def test_shading_is_the_exponential_of_a_quadratic_form(image):
    made = appearance.apply(image / 4, looks(shading=torch.tensor([[0.3, 0.0, 0.0, 0.6, 0.0]])))
    x = torch.linspace(-1, 1, SIDE)
    torch.testing.assert_close(made, image / 4 * torch.exp(0.3 * x + 0.6 * (x * x - 1 / 3)))


def test_a_blur_is_gaussian_with_each_images_own_width(image):
    two = torch.cat([image, image])
    made = appearance.apply(two, looks(2, blur=torch.tensor([0.8, 1.6])))
    for number, width in enumerate((0.8, 1.6)):
        expected = gaussian_filter(image[0, 0].numpy(), width, mode="constant", radius=appearance.RADIUS)
        np.testing.assert_allclose(made[number, 0], expected, atol=1e-5)
    assert torch.equal(made[0, 0], made[0, 1])


def test_draws_are_keyed_and_change_the_share_asked_for():
    drawn = appearance.draw(0.3, 4000, (0, 1, 2))
    again = appearance.draw(0.3, 4000, (0, 1, 2))
    for first, second in zip(drawn, again, strict=True):
        torch.testing.assert_close(first, second, rtol=0, atol=0, equal_nan=True)
    changed = [~drawn.curve[:, 0].isnan(), drawn.shading.any(dim=1), drawn.blur > 0]
    for chosen in changed:
        assert chosen.float().mean().item() == pytest.approx(0.3, abs=0.03)
    together = (changed[0] & changed[1]).float().mean().item()
    assert together == pytest.approx(0.09, abs=0.02)  # independently
    curves = drawn.curve[changed[0]]
    assert (curves[:, 0] == 0).all() and curves.min() >= 0 and curves.max() <= 1  # air stays black
    rising = (curves.diff(dim=1) > 0).all(dim=1).float().mean().item()
    assert rising == pytest.approx(1 - appearance.FOLDED, abs=0.06)


def test_it_is_part_of_the_augmentation_and_leaves_maps_alone(image):
    neutral = Strength(0, 0, 0, 0)
    lesions = torch.rand(1, 32, 32)
    same, maps = augmented(image, lesions, neutral, (0, 0, 0))
    assert torch.equal(same, image) and torch.equal(maps, lesions)
    other, maps = augmented(image, lesions, neutral._replace(appearance=1.0), (0, 0, 0))
    assert not torch.equal(other, image) and torch.equal(maps, lesions)
