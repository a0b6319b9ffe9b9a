"""Grad-CAM at the size of the images."""

import numpy as np
from tqdm import tqdm

from btlib.core.explain.gradcam import Explainable, map_names, normalized, raw_maps, resized
from btlib.core.runtime.workers import best_device
from btlib.images.data.resident import ResidentImages


def gradcam(net: Explainable, images: np.ndarray, targets: np.ndarray, batch_size: int = 32) -> dict[str, np.ndarray]:
    """Maps of every image, at the size of the images.

    Args:
        net: in eval mode; moved to the GPU if there is one.
        images: uint8 [N, H, W, 3] RGB.
        targets: [N] class indices to explain, usually the predicted ones.
        batch_size: images at a time; does not affect the maps.

    Returns:
        Backbone name, and 'fused' if there are several -> float32 [N, H, W] in 0 … 1, with maximum 1 unless the map is
        all zero.
    """
    device = best_device()
    net.to(device)
    names = map_names(net)
    found = {name: np.empty(images.shape[:3], dtype=np.float32) for name in names}
    data = ResidentImages(images, targets, device)
    starts = range(0, len(images), batch_size)
    for start in tqdm(starts, desc="Grad-CAM", unit="batch", leave=False, disable=not len(images)):
        rows = np.arange(start, min(start + batch_size, len(images)))
        backbones, fused = raw_maps(net, data.batch(rows), data.labels[rows])
        for name, maps in zip(names, (*backbones, fused), strict=False):
            found[name][rows] = normalized(resized(maps, images.shape[1:3])).cpu().numpy()
    return found
