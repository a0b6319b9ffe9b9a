"""Images to class probabilities."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from btlib.core.runtime.workers import best_device
from btlib.images.data.resident import ResidentImages
from btlib.images.nets.classifier import Classifier

BATCH = 64  # images at a time


def predict(net: Classifier, images: np.ndarray) -> np.ndarray:
    """Class probabilities [N, K] in float64, in fp32 arithmetic on the GPU if there is one.

    Args:
        images: preprocessed, uint8 [N, H, W, 3].
    """
    return by_batches(net, images, lambda net, batch: net(batch), "predict").double().softmax(dim=1).numpy()


def by_batches(
    net: Classifier,
    images: np.ndarray,
    function: Callable[[Classifier, Tensor], Tensor],
    task: str,
) -> Tensor:
    """`function(net, images [B, 3, H, W] in 0..1)` for all images, in order, returned on the CPU.

    Args:
        images: preprocessed, uint8 [N, H, W, 3].
        task: label of the progress bar.
    """
    device = best_device()
    net = net.to(device, memory_format=torch.channels_last).eval()
    data = ResidentImages(images, np.zeros(len(images)), device)
    parts = np.array_split(np.arange(len(images)), max(1, -(-len(images) // BATCH)))
    with torch.inference_mode():  # after moving the network, so that its weights remain trainable
        return torch.cat([function(net, data.batch(part)) for part in tqdm(parts, desc=task, leave=False)]).cpu()
