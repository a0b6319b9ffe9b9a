"""The whole image set as one uint8 array: memory-mapped on CPU, uploaded once to a GPU. No worker processes."""

import numpy as np
import torch
from torch import Tensor

from btlib.core.runtime.errors import InputError


class ResidentImages:
    """Images by row number, as float batches on the device.

    Args:
        images: uint8 [N, H, W, 3], memory-mapped or not.
        labels: class index of each image [N].
    """

    def __init__(self, images: np.ndarray, labels: np.ndarray, device: torch.device):
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3 or len(images) != len(labels):
            raise InputError(
                f"images: found {images.dtype} {images.shape} with {len(labels)} labels, expected uint8 [N, H, W, 3] "
                "with N labels; run `dvc repro preprocess_images` again"
            )
        self.device = device
        self.labels = torch.as_tensor(labels, dtype=torch.long, device=device)
        # Copied for the upload, since PyTorch does not accept read-only memory maps.
        self._images = images if device.type == "cpu" else torch.from_numpy(np.array(images)).to(device)

    def batch(self, rows: np.ndarray) -> Tensor:
        """Images [B, 3, H, W] in 0..1, channels last in memory."""
        if isinstance(self._images, Tensor):
            picked = self._images[torch.as_tensor(rows, device=self.device)]
        else:
            picked = torch.from_numpy(self._images[rows])
        return picked.permute(0, 3, 1, 2).float().div_(255).contiguous(memory_format=torch.channels_last)
