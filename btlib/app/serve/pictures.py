"""An image and its heat map overlay, at a size suitable for the page."""

import base64
import io

import numpy as np
from PIL import Image

from btlib.app.predict.overlays import overlay

MAX_SIDE = 1024  # pixels shown on the page


def picture_and_overlay(image: np.ndarray, heat: np.ndarray | None) -> dict[str, str | None]:
    """`picture` and, if there is a map, `overlay`, as data: URLs of images of the same size.

    Args:
        image: uint8 [H, W, 3].
        heat: float32 [H, W] in 0 … 1, or None.
    """
    picture = Image.fromarray(image)
    picture.thumbnail((MAX_SIDE, MAX_SIDE))
    if heat is None:
        return {"picture": _data_url(picture), "overlay": None}
    fitted = Image.fromarray(heat).resize(picture.size, Image.Resampling.BILINEAR)  # of floats: mode F
    covered = overlay(np.asarray(picture), np.asarray(fitted))
    return {"picture": _data_url(picture), "overlay": _data_url(Image.fromarray(covered))}


def _data_url(picture: Image.Image) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
