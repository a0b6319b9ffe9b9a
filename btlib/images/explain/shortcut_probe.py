"""Linear probe on views that hide the lesion, to measure how much they reveal about the class."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from tqdm import tqdm

from btlib.core.runtime.workers import best_device
from btlib.images.data import occlusion
from btlib.images.data.resident import ResidentImages
from btlib.images.nets.backbones import Backbone
from btlib.images.nets.weights import load_features

REGULARISATION = 0.01  # inverse strength; there are many features and few images
FRAME = 0.06  # width of the border view's frame, as a share of the side


def views(side: int) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Name of a view -> its function of images, uint8 [N, S, S, 3] both; all but the first, `whole`, hide the lesion.

    Args:
        side: S, pixels.
    """
    return {
        "whole": lambda images: images,
        "without_brain": occlusion.without_brain,
        "background_only": occlusion.background_only,
        "border_only": partial(occlusion.border_only, pixels=max(1, round(FRAME * side))),
    }


def pretrained_backbones(states: Mapping[str, Mapping[str, Tensor]]) -> list[Backbone]:
    """Frozen feature extractors, on the GPU if there is one.

    Args:
        states: backbone name -> pretrained feature state.
    """
    device = best_device()
    backbones = []
    for name, state in states.items():
        backbone = Backbone(name)
        load_features(backbone.net, dict(state), f"weights of {name}")
        backbones.append(backbone.to(device, memory_format=torch.channels_last).eval())
    return backbones


def probe(
    backbones: Sequence[Backbone],
    train_images: np.ndarray,
    train_labels: np.ndarray,
    test_images: np.ndarray,
) -> np.ndarray:
    """Probabilities [N_test, K] of a logistic regression on frozen pretrained features.

    The probe is linear and its features are independent of the task, so any training can find what it finds.

    Args:
        backbones: from `pretrained_backbones`, at least one.
        train_images, test_images: uint8 [N, S, S, 3], all of the same view.
        train_labels: class indices [N_train], including each of 0 … K-1.
    """
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=REGULARISATION, max_iter=1000))
    classifier.fit(pooled_features(backbones, train_images), train_labels)
    return classifier.predict_proba(pooled_features(backbones, test_images))


@torch.inference_mode()
def pooled_features(backbones: Sequence[Backbone], images: np.ndarray, batch_size: int = 64) -> np.ndarray:
    """Spatial means of the backbones' last feature maps, concatenated: float [N, ΣD]."""
    data = ResidentImages(images, np.zeros(len(images)), next(backbones[0].parameters()).device)
    batches = np.array_split(np.arange(len(images)), max(1, -(-len(images) // batch_size)))
    rows = [_pool(backbones, data.batch(batch)) for batch in tqdm(batches, desc="features", leave=False)]
    return torch.cat(rows).float().cpu().numpy()


def _pool(backbones: Sequence[Backbone], images: Tensor) -> Tensor:
    return torch.cat([backbone(images).mean(dim=(2, 3)) for backbone in backbones], dim=1)
