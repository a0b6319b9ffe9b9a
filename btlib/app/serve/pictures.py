"""An image, its heat map overlay and its outline, at a size suitable for the page."""

import base64
import io

import numpy as np
from PIL import Image

from btlib.app.predict.overlays import outlined, overlay

MAX_SIDE = 1024  # pixels shown on the page


def pictures(image: np.ndarray, heat: np.ndarray | None, lesion: np.ndarray | None) -> dict[str, str | None]:
    """`picture`, `overlay` and `outline` as data: URLs, the last two None without their map.

    The overlay has the picture's size. The outline is transparent elsewhere, has the picture's shape, and `MAX_SIDE`
    pixels on its longer side, so that the line is thin over a small picture too.

    Args:
        image: uint8 [H, W, 3].
        heat: float32 [H, W] in 0 … 1, or None.
        lesion: float32 [H, W] probability of a lesion, or None.
    """
    picture = Image.fromarray(image)
    picture.thumbnail((MAX_SIDE, MAX_SIDE))
    covered = None if heat is None else overlay(np.asarray(picture), _fitted(heat, picture.size))
    outline = None if lesion is None else _outline(lesion)
    return {
        "picture": _data_url(picture),
        "overlay": None if covered is None else _data_url(Image.fromarray(covered)),
        "outline": None if outline is None else _data_url(Image.fromarray(outline)),
    }


def _fitted(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """float32 [H, W], resized to `size` (width, height)."""
    return np.asarray(Image.fromarray(values).resize(size, Image.Resampling.BILINEAR))  # of floats: mode F


def _outline(lesion: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 4], the longer side `MAX_SIDE`."""
    height, width = (max(1, round(side * MAX_SIDE / max(lesion.shape))) for side in lesion.shape)
    return outlined(np.zeros((height, width, 4), np.uint8), _fitted(lesion, (width, height)))


def _data_url(picture: Image.Image) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
