import numpy as np
import pytest
import torch

from btlib.images.explain.shortcut_probe import pooled_features, pretrained_backbones, probe, views
from btlib.images.nets.backbones import Backbone

NAMES = ("test_efficientnet", "test_convnext")


@pytest.fixture(scope="module")
def states():
    torch.manual_seed(0)
    return {name: Backbone(name).net.state_dict() for name in NAMES}


@pytest.fixture(scope="module")
def colored():
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 4
    colors = np.array([[200, 60, 60], [60, 200, 60], [60, 60, 200], [180, 180, 60]])
    images = (colors[labels][:, None, None] + rng.normal(0, 20, (40, 64, 64, 3))).clip(0, 255).astype(np.uint8)
    return images, labels


def test_features_are_concatenated_over_backbones(states, colored):
    images, _ = colored
    found = pooled_features(pretrained_backbones(states), images, batch_size=7)
    batch = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    expected = []
    for name, state in states.items():
        backbone = Backbone(name).eval()
        backbone.net.load_state_dict(state)
        expected.append(backbone(batch).mean((2, 3)))
    np.testing.assert_allclose(found, torch.cat(expected, 1).detach().numpy(), rtol=1e-3, atol=1e-4)


def test_probe_learns_from_colour_but_not_from_black_images(states, colored):
    images, labels = colored
    backbones = pretrained_backbones(states)
    found = probe(backbones, images[:28], labels[:28], images[28:])
    assert found.shape == (12, 4)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)
    assert (found.argmax(axis=1) == labels[28:]).mean() == 1
    black = np.zeros_like(images)
    np.testing.assert_allclose(probe(backbones, black[:28], labels[:28], black[28:]), 0.25, atol=1e-3)


def test_views_hide_increasing_parts():
    """A head with a brain: whole, without the brain, without the head, and only a frame of 6 % of the side."""
    y, x = np.mgrid[:100, :100] - 49.5
    gray = np.where(np.hypot(y / 40, x / 34) <= 1, 180, 8).astype(np.uint8)
    images = np.repeat(gray[None, ..., None], 3, axis=3)
    seen = {name: make(images)[0, ..., 0] for name, make in views(100).items()}
    assert list(seen) == ["whole", "without_brain", "background_only", "border_only"]
    assert np.array_equal(seen["whole"], gray)
    assert seen["without_brain"][50, 50] == 0 and seen["without_brain"][12, 50] == 180
    assert seen["background_only"].max() == 8
    frame = seen["border_only"]
    assert (frame[:6] == 8).all() and (frame[:, -6:] == 8).all() and not frame[6:-6, 6:-6].any()
