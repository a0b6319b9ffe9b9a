"""The whole image set as one uint8 array: memory-mapped on CPU, uploaded once to a GPU. No worker processes."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from btlib.core.runtime.errors import InputError
from btlib.images.data.lesion_maps import FULL, UNKNOWN, map_size

LOOKED_AT = 256  # images at a time in the search for outlines


class Phantoms(NamedTuple):
    """Phantom slices: grey images uint8 [N, S, S], class index [N], and lesion maps uint8 [N, S / 4, S / 4]."""

    images: np.ndarray
    labels: np.ndarray
    lesions: np.ndarray


class ResidentImages:
    """Images by row number, as float batches on the device; the rows of phantoms follow those of the images.

    Args:
        images: uint8 [N, H, W, 3], memory-mapped or not.
        labels: class index of each image [N].
        lesions: uint8 [N, H / 4, W / 4], see `lesion_maps`; None: no outline is known.
        phantoms: slices of the same size to train on beside the images.
    """

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        device: torch.device,
        lesions: np.ndarray | None = None,
        phantoms: Phantoms | None = None,
    ):
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3 or len(images) != len(labels):
            raise InputError(
                f"images: found {images.dtype} {images.shape} with {len(labels)} labels, expected uint8 [N, H, W, 3] "
                "with N labels; run `dvc repro preprocess_images` again"
            )
        self.device = device
        made = phantoms or Phantoms(np.empty((0, *images.shape[1:3]), np.uint8), np.empty(0, int), np.empty(0))
        self.phantom_rows = np.arange(len(images), len(images) + len(made.images))
        self.labels = torch.as_tensor(np.concatenate([labels, made.labels]), dtype=torch.long, device=device)
        self._images, self._phantoms = self._resident(images), self._resident(made.images)
        self.n_images = len(images)
        unknown = np.broadcast_to(np.uint8(UNKNOWN), (len(images), *(map_size(images.shape[1]),) * 2))
        self._lesions = self._resident(unknown if lesions is None else lesions)
        self._phantom_lesions = self._resident(made.lesions)

    def batch(self, rows: np.ndarray) -> Tensor:
        """Images [B, 3, H, W] in 0..1, channels last in memory."""
        picked = self._picked(rows, self._images, self._phantoms)
        return picked.permute(0, 3, 1, 2).float().div_(255).contiguous(memory_format=torch.channels_last)

    def lesions(self, rows: np.ndarray) -> tuple[Tensor, Tensor]:
        """Lesion maps [B, h, w] in 0..1, 0 where unknown, and whether each image's outline is known [B]."""
        maps = self._picked(rows, self._lesions, self._phantom_lesions)
        known = maps[:, 0, 0] != UNKNOWN
        return maps.float().div_(FULL) * known[:, None, None], known

    def has_lesions(self, rows: np.ndarray) -> bool:
        """Whether the outline of a lesion is known in any of these images."""
        return any(self.lesions(part)[0].any() for part in np.array_split(rows, 1 + len(rows) // LOOKED_AT))

    def _resident(self, values: np.ndarray) -> np.ndarray | Tensor:
        """On the device; copied for the upload, since PyTorch does not accept read-only memory maps."""
        return values if self.device.type == "cpu" else torch.from_numpy(np.array(values)).to(self.device)

    def _picked(self, rows: np.ndarray, real: np.ndarray | Tensor, phantoms: np.ndarray | Tensor) -> Tensor:
        """The rows, of which those of phantoms come from `phantoms`; grey ones get the channels of the real ones."""
        made = rows >= self.n_images
        found = _rows(real, rows[~made])
        if not made.any():
            return found
        picked = found.new_empty((len(rows), *found.shape[1:]))
        gray = _rows(phantoms, rows[made] - self.n_images)
        where = torch.as_tensor(made, device=self.device)
        picked[~where], picked[where] = found, gray if gray.ndim == picked.ndim else gray[..., None]
        return picked


def _rows(values: np.ndarray | Tensor, rows: np.ndarray) -> Tensor:
    if isinstance(values, Tensor):
        return values[torch.as_tensor(rows, device=values.device)]
    return torch.from_numpy(values[rows])
