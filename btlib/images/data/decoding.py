"""Decodes picture files by content: images as uint8 RGB, lesion masks as bool. Names and headers are not trusted.

Colour and palette images are converted; grey ones get three equal channels; transparent pixels become black; values of
more than 8 bits are rescaled from their range to 0 … 255, jointly over all channels; WhiteIsZero TIFFs are inverted;
the file's orientation is applied.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from btlib.core.runtime.errors import InputError, guarded

FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP")
KIND = "JPEG, PNG, TIFF, BMP or WebP image"
MIN_SIDE = 16  # pixels; anything smaller is an icon or a broken export
MAX_PIXELS = 50_000_000  # 7,000 × 7,000; anything larger is a decompression bomb or not a single slice
PNG_MAX_DENSITY = 1032 * 8  # pixels per byte: deflate repeats up to 1,032 bytes, of 8 black or white pixels each
LOSSY = {"JPEG", "MPO", "WEBP", "jpeg", "tiff_jpeg", "webp"}  # formats, and compressions of a TIFF
MIN_TOP = 64  # grey level of the lesion in a lossy mask; lossy compression changes levels by up to about 30
# Pixels between a quarter and three quarters of the top level, relative to the lesion: at most 0.01 for discs of 2 to
# 40 pixels saved as JPEG of quality 50 to 95, 0.26 for a blurred one, over 1 for soft ones or several levels.
MAX_BETWEEN = 0.2
PHOTOMETRIC, WHITE_IS_ZERO = 262, 0  # TIFF tag and value


def decode_image(real: Path, name: str) -> np.ndarray:
    """Decodes an image: uint8 [height, width, 3], RGB.

    Args:
        real: the file.
        name: as the user knows it, for messages.

    Raises:
        InputError: the file cannot be read completely, is too small or too large, or has several pages.
    """
    with _opened(real, name) as (image, file):
        values = _values(image, file)
        return values if values.dtype == np.uint8 else gray_levels(values)


def decode_mask(real: Path, name: str) -> np.ndarray:
    """Decodes a mask: bool [height, width], True for nonzero values; in a lossy file, above half of the maximum.

    Raises:
        InputError: as for `decode_image`; or the file is lossy (JPEG, WebP) and does not have two distinct levels.
    """
    with _opened(real, name) as (image, file):
        lossy = LOSSY & {image.format, image.info.get("compression")}
        values = finite(_values(image, file))
    values = values.reshape(*values.shape[:2], -1).max(axis=-1)
    return _threshold_lossy(values, name) if lossy else values != 0


def check_size(width: int, height: int, name: str) -> None:
    """Raises InputError unless an image of this size can be a slice."""
    if min(width, height) < MIN_SIDE:
        raise InputError(f"{name}: {width}×{height} pixels, less than {MIN_SIDE} on a side")
    if width * height > MAX_PIXELS:
        raise InputError(f"{name}: {width}×{height} pixels, more than the {MAX_PIXELS:,} allowed")


def gray_levels(values: np.ndarray) -> np.ndarray:
    """Rescales numbers [H, W] or [H, W, 3] from their range to 0 … 255: uint8 [H, W, 3]."""
    values = finite(values).astype(np.float64)
    low, high = values.min(), values.max()
    levels = np.rint((values - low) * (255 / max(high - low, np.finfo(float).tiny))).astype(np.uint8)
    return levels if levels.ndim == 3 else np.repeat(levels[:, :, None], 3, axis=2)


def finite(values: np.ndarray) -> np.ndarray:
    """Returns the values unchanged. Raises ValueError unless all are finite."""
    if not np.isfinite(values).all():
        raise ValueError("it contains NaN or infinite values")
    return values


@contextmanager
def _opened(real: Path, name: str) -> Iterator[tuple[Image.Image, BinaryIO]]:
    if real.stat().st_size == 0:
        raise InputError(f"{name}: zero bytes")
    # Pillow gets the open file, not its name: given a name, it memory-maps plain TIFFs, and confuses width and height
    # of those rotated by 90°.
    with guarded(name, KIND), real.open("rb") as file:
        try:
            image = Image.open(file, formats=FORMATS)
        except UnidentifiedImageError:
            raise InputError(f"{name}: not a supported {KIND}; save it as PNG") from None
        check_size(*image.size, name)
        if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
            raise InputError(f"{name}: has {image.n_frames} pages; save each slice as its own image")
        if image.format == "TIFF":
            _check_strips(image, name, real.stat().st_size)
        if image.format == "PNG" and image.width * image.height > PNG_MAX_DENSITY * real.stat().st_size:
            raise InputError(f"{name}: {image.width}×{image.height} pixels declared, but not all are in the file")
        yield image, file


def _check_strips(image: Image.Image, name: str, size: int) -> None:
    """Checks the strips of an uncompressed TIFF: Pillow leaves uncovered areas black, reads a shared strip twice, and
    allocates memory for gaps between strips, even beyond the end of the file (`size` bytes)."""
    extents = {tile.extents for tile in image.tile}
    covered = sum((right - left) * (lower - upper) for left, upper, right, lower in extents)
    places = {tile.offset for tile in image.tile}
    if covered < image.width * image.height or len(places) < len(image.tile) or max(places) >= size:
        raise InputError(f"{name}: {image.width}×{image.height} pixels declared, but not all are in the file")


def _values(image: Image.Image, file: BinaryIO) -> np.ndarray:
    """The pixels in the right orientation: uint8 [H, W, 3], or for more bits of another type, possibly [H, W]."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _deep_gray(image)
    if image.format in ("PNG", "TIFF") and any(";16" in str(tile.args) for tile in image.tile):
        return _deep_color(image, file)
    image = ImageOps.exif_transpose(image)
    if image.has_transparency_data:
        black = Image.new("RGBA", image.size, "black")
        image = Image.alpha_composite(black, image.convert("RGBA"))
    return np.array(image.convert("RGB"))


def _deep_gray(image: Image.Image) -> np.ndarray:
    """Grey of more than 8 bits. Pillow reads it as stored, without inverting it or making transparent values black."""
    inverted = image.format == "TIFF" and image.tag_v2.get(PHOTOMETRIC) == WHITE_IS_ZERO
    transparent = image.info.get("transparency")
    values = np.array(ImageOps.exif_transpose(image))
    if transparent is not None:
        values[values == transparent] = 0
    return values.max() - values if inverted else values


def _deep_color(image: Image.Image, file: BinaryIO) -> np.ndarray:
    """16-bit colour as float64 [H, W, 3], read by OpenCV, since Pillow keeps only the high byte, which must agree."""
    file.seek(0)
    values = cv2.imdecode(np.frombuffer(file.read(), np.uint8), cv2.IMREAD_UNCHANGED)
    high = np.asarray(image)[:, :, :3]
    if values is None or values.dtype != np.uint16 or not np.array_equal(values[:, :, 2::-1] >> 8, high):
        raise ValueError("unsupported kind of 16-bit colour; save it with 8 bits, or in grey")
    colors = values[:, :, 2::-1].astype(np.float64)
    if image.has_transparency_data:
        colors *= values[:, :, 3:] / 65535
    return _orient(colors, image.getexif().get(ExifTags.Base.Orientation, 1))


def _orient(values: np.ndarray, orientation: int) -> np.ndarray:
    """Applies an EXIF orientation."""
    if orientation in (5, 6, 7, 8):
        values = values.swapaxes(0, 1)
    rows = -1 if orientation in (3, 4, 7, 8) else 1
    columns = -1 if orientation in (2, 3, 6, 7) else 1
    return values[::rows, ::columns]


def _threshold_lossy(values: np.ndarray, name: str) -> np.ndarray:
    """Thresholds a lossy two-level mask at half of its maximum; few pixels may lie between the levels."""
    top = int(values.max())
    lesion = values > top / 2
    between = np.count_nonzero((values > top / 4) & (values <= 3 * top / 4))
    if 0 < top < MIN_TOP or between > MAX_BETWEEN * np.count_nonzero(lesion):
        raise InputError(
            f"{name}: a lesion mask with lossy compression and without two distinct levels (maximum {top} of 255); "
            "save it as black-and-white PNG"
        )
    return lesion
