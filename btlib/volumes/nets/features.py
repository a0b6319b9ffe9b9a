"""Encoder features of a whole volume, as one vector, for out-of-distribution detection."""

import numpy as np
import torch
from monai.inferers import sliding_window_inference
from torch import Tensor

from btlib.core.runtime.workers import best_device
from btlib.volumes.data.store import Case
from btlib.volumes.nets.network import JointNet
from btlib.volumes.nets.windows import OVERLAP, Window, shrunk, views


@torch.inference_mode()
def encoder_features(net: JointNet, case: Case, window: Window) -> np.ndarray:
    """float32 [7w]: the mean of every channel of the stem (w), the second level (2w) and the bottleneck (4w).

    All levels are used, since training makes deep ones invariant to relevant changes: with the demo's network, the
    bottleneck alone does not detect a missing FLAIR. Averaged over the windows and views used for prediction.
    Changes that do not affect means, such as an upside-down brain, are not detected.
    """
    device = best_device()
    net = net.to(device).eval()
    features = []

    def pool(cubes: Tensor) -> Tensor:
        encoded = net.encode(views(net, shrunk(cubes, window.size)))
        levels = (*encoded.skips, encoded.bottleneck)
        features.append(torch.cat([level.mean(dim=(0, 2, 3, 4)) for level in levels]))
        return cubes[:, :1]  # MONAI expects a map

    volume, roi_size = torch.from_numpy(case.image).to(device).float()[None], (window.roi_size,) * 3
    sliding_window_inference(volume, roi_size, 1, pool, overlap=OVERLAP)
    return torch.stack(features).mean(dim=0).cpu().numpy()
