import numpy as np
import pytest
import torch

from btlib.images.explain.lesion_map import lesion_map
from btlib.images.nets.backbones import Backbone
from btlib.images.nets.classifier import Architecture, build_classifier
from tests.images.explain.two_streams import SeesBright, make_two_streams

ONE = Architecture(("test_convnext",), "none", 8, 2, 0.0, ("glioma", "no_tumor"))


def built(**changes):
    architecture = ONE._replace(**changes)
    return build_classifier(architecture, {"test_convnext": Backbone("test_convnext").net.state_dict()}, 0)


def test_a_network_without_a_lesion_head_has_no_map(images):
    assert lesion_map(built(), images) is None
    assert lesion_map(make_two_streams(), images) is None


def test_a_bright_square_is_found_where_it_is():
    images = np.zeros((2, 32, 48, 3), dtype=np.uint8)
    images[1, 8:16, 24:36] = 255
    found = lesion_map(make_two_streams(SeesBright), images)
    assert found.shape == (2, 32, 48) and found.dtype == np.float32
    assert found[0].max() == pytest.approx(0, abs=1e-8)
    inside = images[1, ..., 0] > 0
    np.testing.assert_array_equal(found[1] >= 0.5, inside & corners_cut(inside))
    assert found[1, 9:15, 25:35].min() > 0.4 and found[1, 12, 30] == pytest.approx(1)


def corners_cut(inside):
    """False at the corners of the square: half a cell away from them, bilinear values fall below a half."""
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    kept = np.ones_like(inside)
    kept[np.ix_(rows[[0, -1]], columns[[0, -1]])] = False
    return kept


def test_it_is_the_map_of_the_answer_with_its_mirror_image(images):
    """Of a real network: the probabilities on the grid, enlarged as any bilinear resize does."""
    net = built(lesion=True, tied=True, flip_tta=True)
    batch = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        grid = net.answer(net.features(batch), batch).lesion.sigmoid()
    expected = torch.nn.Upsample(size=images.shape[1:3], mode="bilinear")(grid[:, None])[:, 0]
    np.testing.assert_allclose(lesion_map(net, images), expected.numpy(), atol=1e-5)
    assert grid.shape[1:] != images.shape[1:3]
