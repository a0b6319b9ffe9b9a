"""The lesion map at the size of the images."""

import numpy as np
from torch import Tensor

from btlib.core.explain.gradcam import resized
from btlib.images.nets.classifier import Classifier
from btlib.images.nets.inference import by_batches


def lesion_map(net: Classifier, images: np.ndarray) -> np.ndarray | None:
    """Probability of a lesion at each pixel, float32 [N, H, W] in 0 … 1; None for a network without a lesion head.

    Args:
        images: uint8 [N, H, W, 3] RGB, at least one.
    """
    if not net.architecture.lesion:
        return None
    return by_batches(net, images, _probabilities, "lesion maps").numpy()


def _probabilities(net: Classifier, images: Tensor) -> Tensor:
    """[B, H, W]; enlarged as probabilities, as Grad-CAM's maps are."""
    lesion = net.answer(net.features(images), images).lesion
    return resized(lesion.sigmoid(), images.shape[2:])
