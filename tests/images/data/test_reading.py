import warnings

import numpy as np
import pytest
from PIL import Image

from btlib.core.runtime.errors import InputError
from btlib.images.data import decoding
from btlib.images.data.reading import open_image, open_mask, open_picture, read_mat_label
from tests.images.data.samples import make_case, picture, save

GRAY = picture(7)[:, :, 0]


def transparent(mode: str) -> Image.Image:
    image = Image.fromarray(GRAY).convert(mode)
    alpha = np.full(GRAY.shape, 255, np.uint8)
    alpha[:4] = 0
    image.putalpha(Image.fromarray(alpha))
    return image


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
@pytest.mark.parametrize("mode", ["L", "RGB", "P"])
def test_lossless_kinds_of_gray_give_the_same_pixels(tmp_path, mode, suffix):
    Image.fromarray(GRAY).convert(mode).save(tmp_path / f"a{suffix}")
    expected = np.repeat(GRAY[:, :, None], 3, axis=2)
    assert np.array_equal(open_image(tmp_path, f"a{suffix}"), expected)


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_transparent_pixels_become_black(tmp_path, mode):
    transparent(mode).save(tmp_path / "a.png")
    image = open_image(tmp_path, "a.png")
    assert (image[:4] == 0).all()
    assert np.array_equal(image[4:, :, 1], GRAY[4:])


def test_palette_with_a_transparent_entry(tmp_path):
    palette = Image.fromarray(np.where(GRAY > 128, 1, 0).astype(np.uint8), mode="P")
    palette.putpalette([200, 200, 200, 10, 20, 30])
    palette.save(tmp_path / "a.png", transparency=0)
    image = open_image(tmp_path, "a.png")
    assert {tuple(color) for color in image.reshape(-1, 3)} == {(0, 0, 0), (10, 20, 30)}


def test_colors_keep_their_order(tmp_path):
    rgb = np.zeros((20, 20, 3), np.uint8)
    rgb[:, :10] = (255, 40, 7)
    save(tmp_path / "a.png", rgb)
    assert open_image(tmp_path, "a.png")[0, 0].tolist() == [255, 40, 7]


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bit_gray_is_scaled_from_its_own_range(tmp_path, suffix):
    deep = np.linspace(300, 4395, 20 * 30).reshape(20, 30).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path / f"a{suffix}")
    image = open_image(tmp_path, f"a{suffix}")
    expected = np.rint((deep.astype(float) - 300) * 255 / 4095)
    assert np.array_equal(image[:, :, 2], expected)
    assert (image.min(), image.max()) == (0, 255)


def test_float_tiff_with_nan_is_refused(tmp_path):
    values = np.random.default_rng(0).random((20, 20)).astype(np.float32)
    Image.fromarray(values).save(tmp_path / "good.tif")
    values[3, 3] = np.nan
    Image.fromarray(values).save(tmp_path / "bad.tif")
    assert open_image(tmp_path, "good.tif").max() == 255
    with pytest.raises(InputError, match=r"bad\.tif.*NaN"):
        open_image(tmp_path, "bad.tif")


def test_exif_orientation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown rotated by 90°
    Image.fromarray(GRAY).save(tmp_path / "a.jpg", exif=exif)
    assert open_image(tmp_path, "a.jpg").shape == (GRAY.shape[1], GRAY.shape[0], 3)


def test_files_are_identified_by_content(tmp_path):
    Image.fromarray(GRAY).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")
    assert np.array_equal(open_image(tmp_path, "a.jpg")[:, :, 0], GRAY)


def bad_files(root):
    save(root / "whole.jpg", picture(1, 200, 200))
    whole = (root / "whole.jpg").read_bytes()
    (root / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (root / "text.jpg").write_text("not an image")
    (root / "zero.png").touch()
    save(root / "dot.png", np.zeros((1, 1, 3), np.uint8))
    save(root / "blank.png", np.full((20, 20, 3), 9, np.uint8))
    pages = [Image.fromarray(picture(k)) for k in (1, 2)]
    pages[0].save(root / "pages.tif", save_all=True, append_images=pages[1:])
    (root / "dangling.png").symlink_to(root / "nowhere.png")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("truncated.jpg", "truncated"),
        ("text.jpg", "not a supported JPEG, PNG, TIFF, BMP or WebP image"),
        ("zero.png", "zero bytes"),
        ("dot.png", "1×1 pixels"),
        ("blank.png", "blank"),
        ("pages.tif", "2 pages"),
        ("dangling.png", "dangling"),
        ("absent.png", "no such file"),
    ],
)
def test_bad_files_are_refused_by_name_and_reason(tmp_path, name, reason):
    bad_files(tmp_path)
    with pytest.raises(InputError, match=reason) as caught:
        open_image(tmp_path, name)
    assert str(caught.value).startswith(f"{name}: ")
    assert str(tmp_path) not in str(caught.value)


def test_decompression_bomb_is_refused_before_decoding(tmp_path, monkeypatch):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        Image.new("1", (10_000, 10_000)).save(tmp_path / "bomb.png")
        monkeypatch.setattr(decoding, "_values", lambda image, file: pytest.fail("decoded"))
        with pytest.raises(InputError, match="more than the 50,000,000 allowed"):
            open_image(tmp_path, "bomb.png")


@pytest.mark.parametrize("path", ["../secret.png", "link.png"])
def test_files_outside_the_root_are_refused(tmp_path, path):
    save(tmp_path / "secret.png", picture(1))
    (tmp_path / "root").mkdir()
    (tmp_path / "root/link.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(InputError, match="out of its root folder"):
        open_image(tmp_path / "root", path)


def test_a_linked_root_is_fine(tmp_path):
    save(tmp_path / "real/a.png", picture(1))
    (tmp_path / "root").symlink_to(tmp_path / "real")
    assert np.array_equal(open_image(tmp_path / "root", "a.png"), picture(1))


def test_mask_of_an_image_file(tmp_path):
    mask = np.zeros((20, 20), np.uint8)
    mask[3:5, 6:9] = 1
    Image.fromarray(mask).save(tmp_path / "m.png")
    found = open_mask(tmp_path, "m.png")
    assert found.dtype == bool
    assert np.array_equal(found, mask == 1)


def test_figshare_case_is_upright_and_rescaled(tmp_path):
    stored = make_case(tmp_path / "1.mat", label=3, patient="MR017260F")
    image = open_image(tmp_path, "1.mat")
    low, high = int(stored.min()), int(stored.max())
    assert image.shape == (*stored.shape, 3)
    assert np.array_equal(image[:, :, 0], np.rint((stored.astype(float) - low) * 255 / (high - low)))
    mask = open_mask(tmp_path, "1.mat")
    assert mask.shape == stored.shape
    assert mask[2:5, 10:20].all()
    assert mask.sum() == 30
    assert read_mat_label(tmp_path, "1.mat") == (3, "MR017260F")


@pytest.mark.parametrize("field", ["label", "PID", "image", "tumorMask"])
def test_case_without_a_field(tmp_path, field):
    make_case(tmp_path / "1.mat", leave_out=field)
    with pytest.raises(InputError, match=rf"1\.mat: no field cjdata/{field}"):
        read_mat_label(tmp_path, "1.mat")
        open_image(tmp_path, "1.mat")
        open_mask(tmp_path, "1.mat")


def test_case_that_is_not_hdf5(tmp_path):
    (tmp_path / "old.mat").write_bytes(b"MATLAB 5.0 MAT-file" + bytes(200))
    with pytest.raises(InputError, match=r"old\.mat: not a valid MATLAB v7\.3 file"):
        open_image(tmp_path, "old.mat")


def test_open_picture_refuses_cases(tmp_path):
    make_case(tmp_path / "1.mat")
    with pytest.raises(InputError, match=r"1\.mat: not a supported JPEG, PNG, TIFF, BMP or WebP image"):
        open_picture(tmp_path, "1.mat")
    Image.fromarray(picture(1)).save(tmp_path / "a.mat", format="PNG")
    np.testing.assert_array_equal(open_picture(tmp_path, "a.mat"), picture(1))
