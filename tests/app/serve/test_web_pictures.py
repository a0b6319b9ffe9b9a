"""The picture, its heat map overlay and its outline on the page."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from btlib.app.predict.overlays import LINE, RIM
from btlib.app.serve.pictures import MAX_SIDE, pictures
from tests.images.data.samples import picture


def pixels(address):
    head, text = address.split(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text)), formats=["PNG"]))


def test_small_picture_is_unchanged():
    image = picture(1, 40, 60)
    shown = pictures(image, None, None)
    assert shown["overlay"] is None and shown["outline"] is None
    np.testing.assert_array_equal(pixels(shown["picture"]), image)


def test_only_hot_pixels_are_coloured():
    image, heat = picture(1, 40, 60), np.zeros((40, 60), np.float32)
    heat[:, 30:] = 1
    covered = pixels(pictures(image, heat, None)["overlay"])
    np.testing.assert_array_equal(covered[:, :30], image[:, :30])
    assert (covered[:, 30:, 0].astype(int) > covered[:, 30:, 2]).all()  # the hottest colour is red


@pytest.mark.parametrize(("shape", "shown"), [((3000, 1500), (1024, 512)), ((1000, 2000), (512, 1024))])
def test_large_picture_and_heat_map_are_shrunk(shape, shown):
    heat = np.zeros(shape, np.float32)
    heat[: shape[0] // 2] = 1
    addresses = pictures(np.full((*shape, 3), 100, np.uint8), heat, None)
    assert pixels(addresses["picture"]).shape[:2] == shown
    covered = pixels(addresses["overlay"])
    assert covered.shape[:2] == shown
    middle = shown[0] // 2
    assert (covered[: middle - 1] != 100).any(axis=-1).all()
    assert (covered[middle + 1 :] == 100).all()


@pytest.mark.parametrize(("shape", "shown"), [((40, 60), (683, MAX_SIDE)), ((3000, 1500), (MAX_SIDE, 512))])
def test_outline_is_transparent_elsewhere_and_thin_on_any_picture(shape, shown):
    lesion = np.zeros(shape, np.float32)
    lesion[: shape[0] // 2] = 1
    drawn = pixels(pictures(np.full((*shape, 3), 100, np.uint8), None, lesion)["outline"])
    assert drawn.shape == (*shown, 4)
    column = drawn[:, shown[1] // 2]
    edge = np.flatnonzero(column[5:, 3]) + 5  # without the line along the picture's border
    assert abs(edge.mean() - shown[0] / 2) < 2 and len(edge) == 5
    assert (column[edge[1:4]] == LINE).all() and (column[edge[[0, 4]]] == RIM).all()
    assert (drawn[shown[0] // 2 + 10 :] == 0).all()
