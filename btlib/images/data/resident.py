"""The whole image set as one uint8 array: memory-mapped on CPU, uploaded once to a GPU. No worker processes."""

import numpy as np
import torch
from torch import Tensor

from btlib.core.runtime.errors import InputError


UNKNOWN = 255


class ResidentImages:
    """Images by row number, as float batches on the device.

    Args:
        images: uint8 [N, H, W, 3], memory-mapped or not.
        labels: class index of each image [N].
        masks: uint8 [N, h, w] share of each cell that is lesion, of 254; 255 throughout where no outline is known.
            None: of no image.
    """

    def __init__(self, images: np.ndarray, labels: np.ndarray, device: torch.device, masks: np.ndarray | None = None):
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3 or len(images) != len(labels):
            raise InputError(
                f"images: found {images.dtype} {images.shape} with {len(labels)} labels, expected uint8 [N, H, W, 3] "
                "with N labels; run `dvc repro preprocess_images` again"
            )
        self.device, self._masks = device, masks
        self.labels = torch.as_tensor(labels, dtype=torch.long, device=device)
        # Copied for the upload, since PyTorch does not accept read-only memory maps.
        self._images = images if device.type == "cpu" else torch.from_numpy(np.array(images)).to(device)

    def lesions(self, rows: np.ndarray) -> tuple[Tensor, Tensor]:
        """Lesion shares [B, h, w] in 0..1, 0 where unknown, and whether each image's outline is known [B]."""
        assert self._masks is not None, "images without masks"
        masks = torch.from_numpy(self._masks[rows]).to(self.device)
        known = masks[:, 0, 0] != UNKNOWN
        return masks.float().div_(UNKNOWN - 1) * known[:, None, None], known

    def batch(self, rows: np.ndarray) -> Tensor:
        """Images [B, 3, H, W] in 0..1, channels last in memory."""
        if isinstance(self._images, Tensor):
            picked = self._images[torch.as_tensor(rows, device=self.device)]
        else:
            picked = torch.from_numpy(self._images[rows])
        return picked.permute(0, 3, 1, 2).float().div_(255).contiguous(memory_format=torch.channels_last)
