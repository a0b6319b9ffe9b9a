import numpy as np
import pytest
from PIL import Image

from btlib.core.runtime.errors import InputError
from btlib.images.data.masks import Masks, mask_names, write_masks

MASKS = {"a-1": np.eye(20, 30, dtype=bool), "b-2": np.zeros((5, 4), dtype=bool)}


def test_packed_masks_round_trip(tmp_path):
    write_masks(tmp_path / "masks.npz", MASKS)
    assert mask_names(tmp_path / "masks.npz") == {"a-1", "b-2"}
    masks = Masks(tmp_path, tmp_path / "masks.npz")
    for name, mask in MASKS.items():
        found = masks.open(f"link:{name}")
        assert found.dtype == bool
        np.testing.assert_array_equal(found, mask)


def test_no_masks_round_trip(tmp_path):
    write_masks(tmp_path / "masks.npz", {})
    assert mask_names(tmp_path / "masks.npz") == set()


def test_same_masks_give_the_same_bytes(tmp_path):
    for name in ("one.npz", "two.npz"):
        write_masks(tmp_path / name, MASKS)
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()


def test_other_masks_are_files_below_the_root(tmp_path):
    write_masks(tmp_path / "masks.npz", MASKS)
    mask = np.zeros((20, 30), np.uint8)
    mask[3:7, 4:9] = 255
    (tmp_path / "raw").mkdir()
    Image.fromarray(mask).save(tmp_path / "raw/a-1.png")
    masks = Masks(tmp_path / "raw", tmp_path / "masks.npz")
    np.testing.assert_array_equal(masks.open("a-1.png"), mask > 0)
    with pytest.raises(InputError, match=r"b\.png: no such file"):
        masks.open("b.png")


def test_a_mask_that_is_not_packed(tmp_path):
    write_masks(tmp_path / "masks.npz", MASKS)
    with pytest.raises(InputError, match="no linked mask of image 'c-3'; run `dvc repro link_images audit_images`"):
        Masks(tmp_path, tmp_path / "masks.npz").open("link:c-3")


@pytest.mark.parametrize("keep", [None, 0, 3, 60, -30])
def test_missing_or_truncated_file(tmp_path, keep):
    path = tmp_path / "masks.npz"
    if keep is not None:
        write_masks(path, MASKS)
        path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"masks\.npz: not a valid file of masks .*; run `dvc repro link_images`"):
        mask_names(path)
