import cv2
import numpy as np
import pandas as pd
import pytest

from btlib.core.runtime.artifacts import write_csv
from btlib.core.runtime.errors import InputError
from btlib.images.data.preprocessing import Clahe, GrayLevels, brighten, equalise, load_processed, preprocess
from tests.images.data.samples import picture, save_array

ON, OFF = (GrayLevels(None, Clahe(enabled, 2.0, 8)) for enabled in (True, False))


def colored() -> np.ndarray:
    return np.stack([picture(k, 96, 80)[:, :, 0] for k in (1, 2, 3)], axis=2)


def test_equalise_is_opencvs_clahe_on_v():
    hsv = cv2.cvtColor(colored(), cv2.COLOR_RGB2HSV)
    hsv[:, :, 2] = cv2.createCLAHE(clipLimit=3.0, tileGridSize=(4, 4)).apply(hsv[:, :, 2])
    assert np.array_equal(equalise(colored(), 3.0, 4), cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB))


def test_equalise_raises_local_contrast_and_keeps_hue():
    dull = (colored() // 4) + 90
    equalised = equalise(dull, 4.0, 4)
    assert equalised.max(axis=2).std() > 1.3 * dull.max(axis=2).std()
    ratio = dull.min(axis=2) / dull.max(axis=2)  # 1 − saturation
    assert np.abs(equalised.min(axis=2) / equalised.max(axis=2) - ratio).max() < 0.03


def test_a_percentile_of_the_head_becomes_white():
    image = np.zeros((40, 50, 3), np.uint8)
    image[10:30, 10:30] = np.arange(20, 120, dtype=np.uint8).repeat(4).reshape(20, 20, 1)
    bright = brighten(image, 90.0)
    white = np.percentile(image[10:30, 10:30, 0], 90)
    expected = np.clip(image.astype(float) * 255 / white, 0, 255)
    assert np.abs(bright - expected).max() <= 0.5 and (bright == 255).mean() == pytest.approx(0.1 * 0.2, abs=0.003)
    again = np.array_equal(preprocess(image, 40, GrayLevels(90.0, OFF.clahe)), preprocess(bright, 40, OFF))
    assert again and not np.array_equal(preprocess(image, 40, OFF), preprocess(bright, 40, OFF))
    dark = np.full((8, 8, 3), 4, np.uint8)
    assert np.array_equal(brighten(dark, 99.5), dark)  # all air


def test_grey_images_remain_grey():
    out = preprocess(picture(5, 100, 120), 64, ON)
    assert np.array_equal(out[:, :, 0], out[:, :, 1])
    assert np.array_equal(out[:, :, 0], out[:, :, 2])


def test_without_clahe_only_the_size_changes():
    image = colored()
    assert np.array_equal(preprocess(image, 40, OFF), cv2.resize(image, (40, 40), interpolation=cv2.INTER_AREA))
    square = picture(1, 64, 64)
    assert np.array_equal(preprocess(square, 64, OFF), square)


def test_halving_averages_blocks():
    image = colored()[:80, :80]
    blocks = image.reshape(40, 2, 40, 2, 3).mean(axis=(1, 3))
    assert np.abs(preprocess(image, 40, OFF) - blocks).max() <= 0.5


@pytest.mark.parametrize("shape", [(16, 16), (500, 40), (40, 500), (17, 333)])
def test_any_shape_becomes_the_square(shape):
    out = preprocess(picture(2, *shape), 48, ON)
    assert (out.shape, out.dtype) == ((48, 48, 3), np.uint8)


def test_long_side_is_averaged_while_the_short_one_grows():
    stripes = np.zeros((20, 400, 3), np.uint8)
    stripes[:, ::2] = 200
    out = preprocess(stripes, 40, OFF)
    assert out.min() == out.max() == 100


def test_load_refuses_mismatched_files(tmp_path):
    save_array(tmp_path / "images.npy", np.zeros((12, 8, 8, 3), np.uint8))
    index = pd.DataFrame({"image_id": [f"i{k}" for k in range(12)], "label": "glioma"})
    write_csv(tmp_path / "index.csv", index)
    assert len(load_processed(tmp_path)[0]) == 12
    write_csv(tmp_path / "index.csv", index[:-1])
    with pytest.raises(InputError, match=r"has 12 images, index\.csv 11"):
        load_processed(tmp_path)
    whole = (tmp_path / "images.npy").read_bytes()
    (tmp_path / "images.npy").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="not a valid"):
        load_processed(tmp_path)
