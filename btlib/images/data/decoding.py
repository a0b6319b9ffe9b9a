"""Decodes picture files by their content: images as uint8 RGB, lesion masks as bool. Names and headers are not trusted.

Colour and palette images are converted; grey ones get three equal channels; transparent pixels become black; values of
more than 8 bits are scaled from their own minimum and maximum to 0 and 255, over all colours at once; a TIFF whose
white is zero is inverted; an orientation in the file is applied.
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
MAX_PIXELS = 50_000_000  # 7,000 × 7,000; a larger header is a decompression bomb or no single slice
PNG_DENSEST = 1032 * 8  # pixels that a byte can stand for: deflate repeats 1,032 bytes, of 8 black or white pixels each
LOSSY = {"JPEG", "MPO", "WEBP", "jpeg", "tiff_jpeg", "webp"}  # formats, and compressions of a TIFF
LEAST_TOP = 64  # grey level of the lesion in a lossy mask; lossy compression moves levels by up to about 30
# Of the lesion's pixels, those between a quarter and three quarters of the top: at most 0.01 in discs of 2 to 40 pixels
# saved as JPEG of quality 50 to 95, 0.26 in a blurred one, more than 1 in a soft one or one of several levels.
MOST_BETWEEN = 0.2
PHOTOMETRIC, WHITE_IS_ZERO = 262, 0  # a tag of TIFF


def decode_image(real: Path, name: str) -> np.ndarray:
    """uint8 [height, width, 3], RGB.

    Args:
        real: the file.
        name: as the user knows it, for messages.

    Raises:
        InputError: the file cannot be read whole, is too small or too large, or holds several pages.
    """
    with _opened(real, name) as (image, file):
        values = _values(image, file)
        return values if values.dtype == np.uint8 else gray_levels(values)


def decode_mask(real: Path, name: str) -> np.ndarray:
    """bool [height, width]: True wherever the stored value is not zero; in a lossy file above half of its maximum.

    Raises:
        InputError: as for `decode_image`; or the file is lossy (JPEG, WebP) and its values are not two clear levels.
    """
    with _opened(real, name) as (image, file):
        lossy = LOSSY & {image.format, image.info.get("compression")}
        values = finite(_values(image, file))
    values = values.reshape(*values.shape[:2], -1).max(axis=-1)
    return _above_half(values, name) if lossy else values != 0


def check_size(width: int, height: int, name: str) -> None:
    """Raises InputError unless an image of so many pixels can be a slice."""
    if min(width, height) < MIN_SIDE:
        raise InputError(f"{name}: {width}×{height} pixels, less than {MIN_SIDE} on a side")
    if width * height > MAX_PIXELS:
        raise InputError(f"{name}: {width}×{height} pixels, more than the {MAX_PIXELS:,} allowed")


def gray_levels(values: np.ndarray) -> np.ndarray:
    """Numbers [H, W] or [H, W, 3] from their own minimum and maximum to 0 and 255: uint8 [H, W, 3]."""
    values = finite(values).astype(np.float64)
    low, high = values.min(), values.max()
    levels = np.rint((values - low) * (255 / max(high - low, np.finfo(float).tiny))).astype(np.uint8)
    return levels if levels.ndim == 3 else np.repeat(levels[:, :, None], 3, axis=2)


def finite(values: np.ndarray) -> np.ndarray:
    """The same numbers. Raises ValueError when one is none."""
    if not np.isfinite(values).all():
        raise ValueError("it holds NaN or infinite values")
    return values


@contextmanager
def _opened(real: Path, name: str) -> Iterator[tuple[Image.Image, BinaryIO]]:
    if real.stat().st_size == 0:
        raise InputError(f"{name}: zero bytes")
    # Pillow gets the open file, not its name: by name it maps plain TIFFs into memory, and those that are to be turned
    # by 90° with width and height confused.
    with guarded(name, KIND), real.open("rb") as file:
        try:
            image = Image.open(file, formats=FORMATS)
        except UnidentifiedImageError:
            raise InputError(f"{name}: no {KIND}, or of a kind that cannot be read; save it as PNG") from None
        check_size(*image.size, name)
        if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
            raise InputError(f"{name}: holds {image.n_frames} pages; save each slice as its own image")
        if image.format == "TIFF":
            _check_strips(image, name, real.stat().st_size)
        if image.format == "PNG" and image.width * image.height > PNG_DENSEST * real.stat().st_size:
            raise InputError(f"{name}: {image.width}×{image.height} pixels promised, but not all are in the file")
        yield image, file


def _check_strips(image: Image.Image, name: str, size: int) -> None:
    """Of an uncompressed TIFF, Pillow leaves black what no strip covers, reads one twice that stands for two, and takes
    memory for all that lies between two, also beyond the end of the file, whose `size` is in bytes."""
    extents = {tile.extents for tile in image.tile}
    covered = sum((right - left) * (lower - upper) for left, upper, right, lower in extents)
    places = {tile.offset for tile in image.tile}
    if covered < image.width * image.height or len(places) < len(image.tile) or max(places) >= size:
        raise InputError(f"{name}: {image.width}×{image.height} pixels promised, but not all are in the file")


def _values(image: Image.Image, file: BinaryIO) -> np.ndarray:
    """The pixels the right way up: uint8 [H, W, 3], or of another type, also [H, W], where they have more bits."""
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
    """Pillow reads these as stored: it does not invert them, nor make the transparent value black."""
    inverted = image.format == "TIFF" and image.tag_v2.get(PHOTOMETRIC) == WHITE_IS_ZERO
    transparent = image.info.get("transparency")
    values = np.array(ImageOps.exif_transpose(image))
    if transparent is not None:
        values[values == transparent] = 0
    return values.max() - values if inverted else values


def _deep_color(image: Image.Image, file: BinaryIO) -> np.ndarray:
    """float64 [H, W, 3]. Pillow keeps the high byte alone, so OpenCV reads these; the two must agree on that byte."""
    file.seek(0)
    values = cv2.imdecode(np.frombuffer(file.read(), np.uint8), cv2.IMREAD_UNCHANGED)
    high = np.asarray(image)[:, :, :3]
    if values is None or values.dtype != np.uint16 or not np.array_equal(values[:, :, 2::-1] >> 8, high):
        raise ValueError("16 bits a colour, of a kind that is not read; save it in 8 bits, or in grey")
    colors = values[:, :, 2::-1].astype(np.float64)
    if image.has_transparency_data:
        colors *= values[:, :, 3:] / 65535
    return _turned(colors, image.getexif().get(ExifTags.Base.Orientation, 1))


def _turned(values: np.ndarray, orientation: int) -> np.ndarray:
    """As EXIF's orientation asks."""
    if orientation in (5, 6, 7, 8):
        values = values.swapaxes(0, 1)
    rows = -1 if orientation in (3, 4, 7, 8) else 1
    columns = -1 if orientation in (2, 3, 6, 7) else 1
    return values[::rows, ::columns]


def _above_half(values: np.ndarray, name: str) -> np.ndarray:
    """Where a mask of two levels lies above half of its maximum; between them lossy compression leaves few pixels."""
    top = int(values.max())
    lesion = values > top / 2
    between = np.count_nonzero((values > top / 4) & (values <= 3 * top / 4))
    if 0 < top < LEAST_TOP or between > MOST_BETWEEN * np.count_nonzero(lesion):
        raise InputError(
            f"{name}: a lesion mask with lossy compression, whose levels (up to {top} of 255) are not clearly two; "
            "save it as PNG, black and white"
        )
    return lesion
