"""What a joint network's encoder makes of a whole volume, as one vector: by it, unfamiliar volumes are told."""

import numpy as np
import torch
from monai.inferers import sliding_window_inference
from torch import Tensor

from btlib.core.runtime.workers import best_device
from btlib.volumes.data.store import Case
from btlib.volumes.nets.network import JointNet
from btlib.volumes.nets.windows import OVERLAP, Window, shrunk


@torch.inference_mode()
def encoder_features(net: JointNet, case: Case, window: Window) -> np.ndarray:
    """float32 [7w]: the mean of every channel of the stem (w), the second level (2w) and the bottleneck (4w).

    All levels, since the deep ones are trained not to mind what matters here: of the demo's network, the bottleneck
    alone takes a volume without FLAIR for a familiar one. Averaged over the windows and mirror images that the
    prediction sees. What a mean does not show stays unseen, such as a brain that lies upside down.
    """
    device = best_device()
    net = net.to(device).eval()
    seen = []

    def pooled(cubes: Tensor) -> Tensor:
        small = shrunk(cubes, window.size)
        encoded = net.encode(torch.cat([small, small.flip(2)]))
        levels = (*encoded.skips, encoded.bottleneck)
        seen.append(torch.cat([level.mean(dim=(0, 2, 3, 4)) for level in levels]))
        return cubes[:, :1]  # MONAI wants a map back

    volume, roi_size = torch.from_numpy(case.image).to(device).float()[None], (window.roi_size,) * 3
    sliding_window_inference(volume, roi_size, 1, pooled, overlap=OVERLAP)
    return torch.stack(seen).mean(dim=0).cpu().numpy()
