"""Heat maps overlaid on their images."""

import cv2
import numpy as np

from btlib.report.figures import overlays as figures


def overlay(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3]: the image blended with the heat's colour in proportion to the heat, as in the figures.

    Args:
        image: uint8 [H, W, 3].
        heat: float32 [H, W] in 0 … 1.
    """
    return figures.overlay(image, heat)


def png(picture: np.ndarray) -> bytes:
    """Encodes uint8 [H, W, 3] RGB as PNG. (OpenCV takes a tenth of Pillow's time, for files a sixth larger.)"""
    return cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1].tobytes()
