import cv2
import numpy as np
import pandas as pd
import pytest

from btlib.core.runtime.errors import InputError
from btlib.images.data.masks import Masks, write_masks
from btlib.images.explain.lesions import lesion_masks, resized_mask


def test_resizing_preserves_place_and_share():
    mask = np.zeros((60, 90), dtype=bool)
    mask[20:40, 60:90] = True
    small = resized_mask(mask, (12, 18))
    expected = np.zeros((12, 18), dtype=bool)
    expected[4:8, 12:18] = True
    np.testing.assert_array_equal(small, expected)


@pytest.fixture
def masks(tmp_path):
    write_masks(tmp_path / "linked.npz", {"w": np.eye(20, dtype=bool)})
    return Masks(tmp_path, tmp_path / "linked.npz")


def test_masks_have_the_requested_order_and_missing_ones_are_empty(tmp_path, masks):
    mask = np.zeros((40, 40), dtype=np.uint8)
    mask[:, :20] = 255
    cv2.imwrite(str(tmp_path / "left.png"), mask)
    manifest = pd.DataFrame({"image_id": ["x", "y", "z"], "mask_path": ["left.png", "", "gone.png"]})
    found = lesion_masks(manifest, masks, ["y", "x"], (20, 20))
    assert found.shape == (2, 20, 20) and not found[0].any()
    assert found[1][:, :10].all() and not found[1][:, 10:].any()


def test_missing_mask_and_stale_table_are_named(masks):
    manifest = pd.DataFrame({"image_id": ["z"], "mask_path": ["gone.png"]})
    with pytest.raises(InputError, match=r"gone\.png: no such file"):
        lesion_masks(manifest, masks, ["z"], (20, 20))
    with pytest.raises(InputError, match="'new' is predicted but not in the manifest"):
        lesion_masks(manifest, masks, ["new"], (20, 20))


def test_linked_mask(masks):
    manifest = pd.DataFrame({"image_id": ["w", "v"], "mask_path": ["link:w", "link:v"]})
    np.testing.assert_array_equal(lesion_masks(manifest, masks, ["w"], (20, 20))[0], np.eye(20, dtype=bool))
    with pytest.raises(InputError, match="no linked mask of image 'v'"):
        lesion_masks(manifest, masks, ["v"], (20, 20))
