"""Heat maps over the pictures that they explain."""

import cv2
import numpy as np

from btlib.report.figures import overlays as figures


def overlay(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3]: the image, the more covered by the heat's colour the hotter it is, as in the pipeline's figures.

    Args:
        image: uint8 [H, W, 3].
        heat: float32 [H, W] in 0 … 1.
    """
    return figures.overlay(image, heat)


def png(picture: np.ndarray) -> bytes:
    """A PNG file of uint8 [H, W, 3] RGB. (OpenCV takes a tenth of Pillow's time, for files a sixth larger.)"""
    return cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1].tobytes()
