import io
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image

from btlib.core.runtime.errors import InputError
from btlib.images.data.decoding import decode_image, decode_mask
from tests.images.data.picture_files import write_png16, write_tiff
from tests.images.data.samples import picture

GRAY = picture(7)[:, :, 0]
DEEP = GRAY.astype(np.uint16) * 16 + 100  # like 12-bit scanner data
TURNED = {  # EXIF orientation -> the picture as displayed
    1: lambda image: image,
    2: np.fliplr,
    3: lambda image: np.rot90(image, 2),
    4: np.flipud,
    5: lambda image: np.swapaxes(image, 0, 1),
    6: lambda image: np.rot90(image, -1),
    7: lambda image: np.rot90(np.swapaxes(image, 0, 1), 2),
    8: np.rot90,
}


def scaled(values: np.ndarray) -> np.ndarray:
    low, high = int(values.min()), int(values.max())
    return np.rint((values.astype(float) - low) * 255 / (high - low)).astype(np.uint8)


def rgb(gray: np.ndarray) -> np.ndarray:
    return np.repeat(gray[:, :, None], 3, axis=2)


def refused(path, decode=decode_image) -> str:
    with pytest.raises(InputError) as caught:
        decode(path, path.name)
    assert str(caught.value).startswith(f"{path.name}: ")
    return str(caught.value)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_white_is_zero_is_inverted(tmp_path, dtype):
    stored = (255 - GRAY.astype(int)).astype(dtype) * (257 if dtype == np.uint16 else 1)
    path = write_tiff(tmp_path / "a.tif", stored, t262=0)
    expected = GRAY if dtype == np.uint8 else scaled(GRAY)
    np.testing.assert_array_equal(decode_image(path, "a.tif"), rgb(expected))


@pytest.mark.parametrize("compression", ["tiff_lzw", "packbits", "tiff_adobe_deflate"])
def test_white_is_zero_with_compression(tmp_path, compression):
    Image.fromarray(65535 - DEEP).save(tmp_path / "a.tif", compression=compression, tiffinfo={262: 0})
    np.testing.assert_array_equal(decode_image(tmp_path / "a.tif", "a.tif"), rgb(scaled(DEEP)))


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_oriented_tiffs(tmp_path, orientation, dtype):
    path = write_tiff(tmp_path / "a.tif", GRAY.astype(dtype), t274=orientation)
    expected = GRAY if dtype == np.uint8 else scaled(GRAY)
    np.testing.assert_array_equal(decode_image(path, "a.tif"), rgb(TURNED[orientation](expected)))
    np.testing.assert_array_equal(decode_mask(path, "a.tif"), TURNED[orientation](GRAY > 0))


@pytest.mark.parametrize("orientation", TURNED)
def test_oriented_compressed_tiffs(tmp_path, orientation):
    Image.fromarray(GRAY).save(tmp_path / "a.tif", compression="tiff_lzw", tiffinfo={274: orientation})
    expected = rgb(TURNED[orientation](GRAY))
    np.testing.assert_array_equal(decode_image(tmp_path / "a.tif", "a.tif"), expected)


@pytest.mark.parametrize("alpha", [65535, 4095])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_12_bits_in_a_16_bit_png(tmp_path, channels, alpha):
    stored = np.repeat(DEEP[:, :, None], channels, axis=2)
    if channels in (2, 4):
        stored[:, :, -1] = alpha
    path = write_png16(tmp_path / "a.png", stored)
    np.testing.assert_array_equal(decode_image(path, "a.png"), rgb(scaled(DEEP)))


@pytest.mark.parametrize("channels", [2, 4])
def test_transparent_pixels_of_16_bits_are_black(tmp_path, channels):
    stored = np.repeat(DEEP[:, :, None], channels, axis=2)
    stored[:, :, -1] = 65535
    stored[:4, :, -1] = 0
    expected = DEEP.copy()
    expected[:4] = 0
    path = write_png16(tmp_path / "a.png", stored)
    np.testing.assert_array_equal(decode_image(path, "a.png"), rgb(scaled(expected)))


def test_a_transparent_value_of_16_bits_is_black(tmp_path):
    value = int(DEEP[5, 5])
    expected = scaled(np.where(value == DEEP, 0, DEEP))
    gray = write_png16(tmp_path / "grey.png", DEEP[:, :, None], tRNS=struct.pack(">H", value))
    color = write_png16(tmp_path / "colour.png", rgb(DEEP), tRNS=struct.pack(">3H", value, value, value))
    for path in (gray, color):
        np.testing.assert_array_equal(decode_image(path, path.name), rgb(expected))


def test_colors_of_16_bits_share_one_scale(tmp_path):
    colors = np.random.default_rng(0).integers(300, 4000, (20, 30, 3)).astype(np.uint16)
    colors[0, 0] = (100, 200, 4095)
    expected = scaled(colors)
    assert expected[0, 0].tolist() == [0, 6, 255]  # 100 · 255 / 3,995 = 6.4
    for path in (write_png16(tmp_path / "a.png", colors), write_tiff(tmp_path / "a.tif", colors)):
        np.testing.assert_array_equal(decode_image(path, path.name), expected)


@pytest.mark.parametrize("orientation", TURNED)
def test_oriented_16_bit_colors(tmp_path, orientation):
    exif = b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 274, 3, 1, orientation, 0, 0)
    png = write_png16(tmp_path / "a.png", rgb(DEEP), eXIf=exif)
    expected = rgb(TURNED[orientation](scaled(DEEP)))
    np.testing.assert_array_equal(decode_image(png, "a.png"), expected)
    tiff = write_tiff(tmp_path / "a.tif", rgb(DEEP), t274=orientation)
    np.testing.assert_array_equal(decode_image(tiff, "a.tif"), expected)


def test_a_bmp_of_5_6_and_5_bits(tmp_path):
    red, green, blue = np.random.default_rng(0).integers(0, (32, 64, 32), (20, 30, 3)).transpose(2, 0, 1)
    pixels = (red << 11 | green << 5 | blue).astype("<u2")
    masks = struct.pack("<3I", 0xF800, 0x07E0, 0x001F)
    head = struct.pack("<2sIHHI", b"BM", 66 + pixels.nbytes, 0, 0, 66)
    head += struct.pack("<IiiHHIIiiII", 40, 30, -20, 1, 16, 3, pixels.nbytes, 0, 0, 0, 0)  # rows from the top
    (tmp_path / "a.bmp").write_bytes(head + masks + pixels.tobytes())
    expected = np.stack([red * 255 // 31, green * 255 // 63, blue * 255 // 31], axis=-1)
    np.testing.assert_array_equal(decode_image(tmp_path / "a.bmp", "a.bmp"), expected)


def test_truncated_16_bit_colors_are_refused(tmp_path):
    path = write_png16(tmp_path / "a.png", np.random.default_rng(0).integers(0, 9999, (64, 64, 3)))
    path.write_bytes(path.read_bytes()[:9000])
    assert "not a valid JPEG, PNG, TIFF, BMP or WebP image" in refused(path)


@pytest.mark.parametrize("name", ["a.webp", "a.jpg", "a.png"])
def test_webp_under_any_name(tmp_path, name):
    Image.fromarray(picture(7)).save(tmp_path / name, format="WEBP", lossless=True)
    np.testing.assert_array_equal(decode_image(tmp_path / name, name), picture(7))


@pytest.mark.parametrize("kind", ["WEBP", "PNG", "TIFF"])
def test_several_pages_are_refused(tmp_path, kind):
    first, *others = (Image.fromarray(picture(key)) for key in range(3))
    first.save(tmp_path / "a.jpg", format=kind, save_all=True, append_images=others)
    assert "has 3 pages; save each slice as its own image" in refused(tmp_path / "a.jpg")


def test_gif_is_refused(tmp_path):
    Image.fromarray(GRAY).save(tmp_path / "a.png", format="GIF")
    assert "not a supported JPEG, PNG, TIFF, BMP or WebP image" in refused(tmp_path / "a.png")


def test_tiff_with_missing_strips(tmp_path):
    path = write_tiff(tmp_path / "a.tif", DEEP, t257=1_000_000)
    assert "32×1000000 pixels declared, but not all are in the file" in refused(path)
    path = write_tiff(tmp_path / "a.tif", DEEP, t257=1_000_000, t278=1_000_000)
    assert "not a valid JPEG" in refused(path)


def test_tiff_with_a_shared_strip(tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(GRAY).save(buffer, "TIFF", tiffinfo={278: 12})
    with Image.open(buffer) as image:
        first, second = image.tag_v2[273]
    (tmp_path / "a.tif").write_bytes(buffer.getvalue().replace(struct.pack("<I", second), struct.pack("<I", first)))
    assert "not all are in the file" in refused(tmp_path / "a.tif")


def test_tiff_with_a_strip_beyond_its_end_allocates_no_memory(tmp_path):
    """Four GiB between the strips."""
    buffer = io.BytesIO()
    Image.fromarray(GRAY).save(buffer, "TIFF", tiffinfo={278: 12})
    with Image.open(buffer) as image:
        _, second = image.tag_v2[273]
    far = buffer.getvalue().replace(struct.pack("<I", second), struct.pack("<I", 2**32 - 1))
    (tmp_path / "a.tif").write_bytes(far)
    assert "not all are in the file" in refused(tmp_path / "a.tif")


def disc(radius: float = 9) -> np.ndarray:
    y, x = np.mgrid[:64, :80]
    return (y - 30.3) ** 2 + (x - 40.6) ** 2 < radius**2


def save_mask(path, levels: np.ndarray, kind: str, **options) -> str:
    Image.fromarray(levels.astype(np.uint8)).save(path, format=kind, **options)
    return path.name


@pytest.mark.parametrize("radius", [3, 9, 25])
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {"quality": 95}),
        ("JPEG", {"quality": 75}),
        ("JPEG", {"quality": 50}),
        ("WEBP", {"quality": 75}),
        ("TIFF", {"compression": "jpeg"}),
        ("PNG", {}),
    ],
)
def test_lossy_masks_are_recovered(tmp_path, kind, options, radius):
    name = save_mask(tmp_path / "m.png", 255 * disc(radius), kind, **options)
    np.testing.assert_array_equal(decode_mask(tmp_path / name, name), disc(radius))


def test_colored_and_empty_lossy_masks(tmp_path):
    red = np.zeros((64, 80, 3))
    red[disc(), 0] = 255
    name = save_mask(tmp_path / "red.jpg", red, "JPEG", quality=95, subsampling=0)
    np.testing.assert_array_equal(decode_mask(tmp_path / name, name), disc())
    name = save_mask(tmp_path / "none.jpg", 0 * disc(), "JPEG")
    assert not decode_mask(tmp_path / name, name).any()


def soft() -> np.ndarray:
    y, x = np.mgrid[:64, :80]
    return 255 * np.exp(-((y - 30) ** 2 + (x - 40) ** 2) / 200)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
@pytest.mark.parametrize("levels", [soft(), 85 * disc(20) + 85 * disc(14) + 85 * disc(8), disc().astype(int)])
def test_lossy_masks_without_two_distinct_levels(tmp_path, levels, kind):
    save_mask(tmp_path / "m.jpg", levels, kind)
    message = refused(tmp_path / "m.jpg", decode_mask)
    assert "a lesion mask with lossy compression" in message and "save it as black-and-white PNG" in message


def test_lossless_masks_are_nonzero_values(tmp_path):
    for levels in (soft(), disc().astype(int), 7 * disc(20) + 200 * disc(8)):
        name = save_mask(tmp_path / "m.png", levels, "PNG")
        np.testing.assert_array_equal(decode_mask(tmp_path / name, name), levels.astype(np.uint8) > 0)
    labels = disc(20).astype(np.uint16) + np.uint16(9999) * disc(8)  # 1 of 10,000 is lesion too
    write_tiff(tmp_path / "m.tif", labels)
    np.testing.assert_array_equal(decode_mask(tmp_path / "m.tif", "m.tif"), disc(20))


def test_a_mask_with_nan(tmp_path):
    write_tiff(tmp_path / "m.tif", np.where(disc(), 1, np.nan).astype(np.float32))
    assert "NaN" in refused(tmp_path / "m.tif", decode_mask)


@pytest.mark.parametrize(("chunk", "head"), [("zTXt", b"x\0\0"), ("iCCP", b"x\0\0"), ("iTXt", b"x\0\1\0\0\0")])
def test_text_bombs_are_not_unpacked(tmp_path, chunk, head):
    path = write_png16(tmp_path / "a.png", rgb(DEEP), **{chunk: head + zlib.compress(bytes(64 * 2**20))})
    tracemalloc.start()
    assert "Decompressed data too large" in refused(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 * 2**20


def test_png_with_more_pixels_than_possible_is_not_decoded(tmp_path):
    blank, promising = tmp_path / "blank.png", tmp_path / "promising.png"
    Image.new("1", (7000, 7000)).save(blank, optimize=True)  # maximally dense
    assert not decode_mask(blank, "blank.png").any()
    header = struct.pack(">4sIIBBBBB", b"IHDR", 7000, 7000, 8, 0, 0, 0, 0)
    Image.fromarray(GRAY).save(promising)
    whole = promising.read_bytes()
    promising.write_bytes(whole[:12] + header + struct.pack(">I", zlib.crc32(header)) + whole[33:])
    assert "7000×7000 pixels declared, but not all are in the file" in refused(promising)
