import errno
import io

import cv2
import numpy as np
import pandas as pd
import pytest

from btlib.data import images
from btlib.data.images import Clahe, equalise, load_processed, preprocess, write_processed
from btlib.data.manifest import ingest
from btlib.errors import InputError
from tests.data.samples import picture

ON, OFF = Clahe(True, 2.0, 8), Clahe(False, 2.0, 8)


def coloured() -> np.ndarray:
    return np.stack([picture(k, 96, 80)[:, :, 0] for k in (1, 2, 3)], axis=2)


def test_equalise_is_opencvs_clahe_on_v():
    hsv = cv2.cvtColor(coloured(), cv2.COLOR_RGB2HSV)
    hsv[:, :, 2] = cv2.createCLAHE(clipLimit=3.0, tileGridSize=(4, 4)).apply(hsv[:, :, 2])
    assert np.array_equal(equalise(coloured(), 3.0, 4), cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB))


def test_equalise_raises_local_contrast_and_keeps_hue():
    dull = (coloured() // 4) + 90
    equalised = equalise(dull, 4.0, 4)
    assert equalised.max(axis=2).std() > 1.3 * dull.max(axis=2).std()
    ratio = dull.min(axis=2) / dull.max(axis=2)  # 1 − saturation
    assert np.abs(equalised.min(axis=2) / equalised.max(axis=2) - ratio).max() < 0.03


def test_grey_stays_grey():
    out = preprocess(picture(5, 100, 120), 64, ON)
    assert np.array_equal(out[:, :, 0], out[:, :, 1])
    assert np.array_equal(out[:, :, 0], out[:, :, 2])


def test_without_clahe_only_the_size_changes():
    image = coloured()
    assert np.array_equal(preprocess(image, 40, OFF), cv2.resize(image, (40, 40), interpolation=cv2.INTER_AREA))
    square = picture(1, 64, 64)
    assert np.array_equal(preprocess(square, 64, OFF), square)


def test_halving_averages_blocks():
    image = coloured()[:80, :80]
    blocks = image.reshape(40, 2, 40, 2, 3).mean(axis=(1, 3))
    assert np.abs(preprocess(image, 40, OFF) - blocks).max() <= 0.5


@pytest.mark.parametrize("shape", [(16, 16), (500, 40), (40, 500), (17, 333)])
def test_any_shape_becomes_the_square(shape):
    out = preprocess(picture(2, *shape), 48, ON)
    assert (out.shape, out.dtype) == ((48, 48, 3), np.uint8)


def test_a_long_side_is_averaged_though_the_short_one_grows():
    stripes = np.zeros((20, 400, 3), np.uint8)
    stripes[:, ::2] = 200
    out = preprocess(stripes, 40, OFF)
    assert out.min() == out.max() == 100


def test_written_array_and_index(class_folders, tmp_path):
    manifest, _ = ingest("folder", class_folders, allow_unreadable=False)
    write_processed(tmp_path / "processed", class_folders, manifest, 32, ON)
    array, index = load_processed(tmp_path / "processed")
    assert isinstance(array, np.memmap)
    assert (array.shape, array.dtype) == ((12, 32, 32, 3), np.uint8)
    pd.testing.assert_frame_equal(index, manifest[["image_id", "label"]])
    assert np.array_equal(array[4], preprocess(picture(101), 32, ON))
    first = (tmp_path / "processed/images.npy").read_bytes()
    write_processed(tmp_path / "processed", class_folders, manifest, 32, ON)
    assert (tmp_path / "processed/images.npy").read_bytes() == first


class FullDisk(io.BytesIO):
    """A file on a disk with room for 10 kB."""

    def write(self, data):
        if self.tell() + len(data) > 10_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)


def test_full_disk_leaves_nothing_behind(class_folders, tmp_path, monkeypatch):
    manifest, _ = ingest("folder", class_folders, allow_unreadable=False)
    real_open = images.Path.open
    monkeypatch.setattr(
        images.Path,
        "open",
        lambda self, *mode, **more: FullDisk() if self.suffix == ".npy" else real_open(self, *mode, **more),
    )
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match=r"processed: no space left on the device.*nothing was changed"):
        write_processed(tmp_path / "out/processed", class_folders, manifest, 32, ON)
    assert list((tmp_path / "out").iterdir()) == []


def test_an_image_lost_since_the_ingest(class_folders, tmp_path):
    manifest, _ = ingest("folder", class_folders, allow_unreadable=False)
    (class_folders / "glioma/01.png").unlink()
    with pytest.raises(InputError, match=r"glioma/01\.png: no such file"):
        write_processed(tmp_path / "out/processed", class_folders, manifest, 32, ON)
    assert list((tmp_path / "out").iterdir()) == []


def test_load_refuses_what_does_not_belong_together(class_folders, tmp_path):
    manifest, _ = ingest("folder", class_folders, allow_unreadable=False)
    write_processed(tmp_path, class_folders, manifest, 32, OFF)
    manifest[["image_id", "label"]][:-1].to_csv(tmp_path / "index.csv", index=False)
    with pytest.raises(InputError, match=r"holds 12 images, index\.csv 11"):
        load_processed(tmp_path)
    whole = (tmp_path / "images.npy").read_bytes()
    (tmp_path / "images.npy").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="not a whole"):
        load_processed(tmp_path)
