"""Features of a classifier's backbones: half-way, for out-of-distribution detection, and at their ends."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from btlib.images.nets.classifier import Classifier
from btlib.images.nets.inference import by_batches


class Seen(NamedTuple):
    """One pass through the backbones.

    middle: [B, M] channel means half-way, backbones concatenated; features: as `Classifier.features`; logits: [B, K];
    lesion: logits of the lesion map [B, h, w], None without a lesion head.
    """

    middle: Tensor
    features: tuple[Tensor, ...]
    logits: Tensor
    lesion: Tensor | None


@torch.no_grad()
def see(net: Classifier, images: Tensor) -> Seen:
    """Images [B, 3, H, W] in 0..1 through the backbones.

    Half-way, since the last layers are trained to keep only what separates the classes: judged by the last feature
    maps of the demo's network, a photograph looks familiar.
    """
    cuts = [len(backbone.units) // 2 + 1 for backbone in net.backbones]
    half = net.trunk(images, cuts)
    features = net.tail(half, cuts)
    middle = torch.cat([maps[-1].mean(dim=(2, 3)) for maps in half], dim=1)
    return Seen(middle, features, *net.answer(features, images))


def middle_features(net: Classifier, images: np.ndarray) -> np.ndarray:
    """float32 [N, M] channel means half-way, see `Seen`, on the GPU if there is one.

    Args:
        images: preprocessed, uint8 [N, H, W, 3].
    """
    return by_batches(net, images, lambda net, batch: see(net, batch).middle, "features").numpy()
