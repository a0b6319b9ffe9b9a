"""Pictures as data URIs, so that the page needs no other file: the stages' PNG files and the page's own chart."""

from base64 import b64encode
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image, UnidentifiedImageError

from btlib.core.runtime.errors import InputError

LARGE = 200_000  # bytes of the PNG; larger files hold images of brains rather than lines
QUALITY = 85
DPI = 110  # as in the stages' figures


class Picture(NamedTuple):
    """An encoded picture and its size in pixels."""

    uri: str
    width: int
    height: int


def embedded(path: Path) -> Picture:
    """The picture as WebP: drawings without loss, large pictures of brains with little.

    Raises:
        InputError: the file is not a picture.
    """
    try:
        with Image.open(path) as image:
            picture = image.convert("RGB")
    except (UnidentifiedImageError, OSError) as error:
        raise InputError(f"{path}: not a readable picture ({error}); delete it and run `dvc repro` again") from error
    return _encoded(picture, lossless=path.stat().st_size <= LARGE)


def drawn(figure: Figure) -> Picture:
    """A figure that the page makes itself, without loss."""
    figure.set_dpi(DPI)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return _encoded(Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB"), lossless=True)


def _encoded(picture: Image.Image, lossless: bool) -> Picture:
    buffer = BytesIO()
    picture.save(buffer, "WEBP", lossless=lossless, quality=QUALITY)
    encoded = b64encode(buffer.getvalue()).decode("ascii")
    return Picture(f"data:image/webp;base64,{encoded}", *picture.size)
