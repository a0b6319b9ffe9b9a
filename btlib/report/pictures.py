"""PNG files as data addresses, so that the page needs no other file."""

from base64 import b64encode
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

from PIL import Image, UnidentifiedImageError

from btlib.errors import InputError

LARGE = 200_000  # bytes of the PNG; what is larger holds brain images more than lines
QUALITY = 85


class Picture(NamedTuple):
    """An encoded picture and its size in pixels."""

    uri: str
    width: int
    height: int


def embedded(path: Path) -> Picture:
    """The picture as WebP: drawings without loss, large pictures of brains with little.

    Raises:
        InputError: the file is no picture.
    """
    try:
        with Image.open(path) as image:
            picture = image.convert("RGB")
    except (UnidentifiedImageError, OSError) as error:
        raise InputError(f"{path}: not a readable picture ({error}); delete it and run `dvc repro` again") from error
    buffer = BytesIO()
    picture.save(buffer, "WEBP", lossless=path.stat().st_size <= LARGE, quality=QUALITY)
    encoded = b64encode(buffer.getvalue()).decode("ascii")
    return Picture(f"data:image/webp;base64,{encoded}", *picture.size)
