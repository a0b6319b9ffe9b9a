"""Predictions of the packed classifier: class, confidence, heat map and lesion map of single images."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from btlib.app.models.packed_classifier import PackedClassifier, load_packed
from btlib.core.explain.gradcam import normalized, raw_maps, resized
from btlib.core.metrics.calibration import scale
from btlib.core.metrics.outlines import OUTLINED
from btlib.core.runtime.workers import best_device
from btlib.images.data.preprocessing import preprocess
from btlib.images.data.resident import ResidentImages
from btlib.images.nets.classifier import Classifier
from btlib.images.nets.features import Seen, see

BATCH = 32


class SliceAnswer(NamedTuple):
    """Prediction for one image.

    label: the most probable class; probabilities: calibrated, by class; confidence: probability of `label`; unsure: it
    is below the card's threshold; novelty: distance from the training images / threshold, above 1 is unfamiliar; heat:
    float32 [H, W] in 0 … 1 on the image's own grid, Grad-CAM of `label` over all backbones, or None if not requested;
    lesion: float32 [H, W] probability of a lesion on the same grid, requested with the heat; lesion_share: the share of
    the image's area where it is at least `OUTLINED`. Both are None without a lesion head.

    The share is counted on the network's square, requested or not: stretching an image to a square keeps shares of its
    area, so it is the share of `lesion` as well, to within the pixels along the outline.
    """

    label: str
    probabilities: dict[str, float]
    confidence: float
    unsure: bool
    novelty: float
    unfamiliar: bool
    heat: np.ndarray | None
    lesion: np.ndarray | None
    lesion_share: float | None


class SlicePredictor:
    """Predicts images of any size, preprocessed as for training."""

    def __init__(self, packed: PackedClassifier):
        self._packed = packed
        self._device = best_device()
        self._net = packed.net.to(self._device, memory_format=torch.channels_last).eval()

    @classmethod
    def load(cls, folder: Path) -> "SlicePredictor":
        """Reads a folder of stage package_classifier. Raises InputError when it is missing or damaged."""
        return cls(load_packed(folder))

    @property
    def classes(self) -> tuple[str, ...]:
        return self._net.classes

    @property
    def card(self) -> dict[str, Any]:
        """As `ClassifierCard`."""
        return self._packed.card.model_dump()

    @property
    def data_note(self) -> str:
        """Kind of training data if it must be mentioned: 'phantom data'."""
        return self._packed.card.data_note

    def answer(self, images: Sequence[np.ndarray], heat: bool) -> list[SliceAnswer]:
        """One prediction per image.

        Args:
            images: uint8 [H, W, 3] RGB each, of any sizes.
            heat: whether to compute heat and lesion maps too.
        """
        starts = range(0, len(images), BATCH)
        return [answer for start in starts for answer in self._predict_batch(images[start : start + BATCH], heat)]

    def _predict_batch(self, images: Sequence[np.ndarray], heat: bool) -> list[SliceAnswer]:
        settings = self._packed.card.preprocessing
        squares = np.stack([preprocess(image, settings.image_size, settings) for image in images])
        batch = ResidentImages(squares, np.zeros(len(squares)), self._device).batch(np.arange(len(squares)))
        seen = see(self._net, batch)
        softmax = seen.logits.double().softmax(dim=1).cpu().numpy()
        probabilities = scale(softmax, self._packed.card.calibration.temperature)
        novelties = self._packed.novelty.scores(seen.middle.cpu().numpy())
        heats = self._heat(batch, seen) if heat else None
        lesions = None if seen.lesion is None else resized(seen.lesion.sigmoid(), batch.shape[2:]).cpu().numpy()
        shares = [None] * len(images) if lesions is None else (lesions >= OUTLINED).mean(axis=(1, 2)).tolist()
        maps = _on_images(heats, images), _on_images(lesions if heat else None, images)
        return [self._answer(*each) for each in zip(probabilities, novelties, *maps, shares, strict=True)]

    def _answer(
        self,
        probabilities: np.ndarray,
        novelty: float,
        heat: np.ndarray | None,
        lesion: np.ndarray | None,
        lesion_share: float | None,
    ) -> SliceAnswer:
        named = dict(zip(self.classes, probabilities.tolist(), strict=True))
        label = self.classes[probabilities.argmax()]
        return SliceAnswer(
            label=label,
            probabilities=named,
            confidence=named[label],
            unsure=bool(named[label] < self._packed.card.unsure.threshold),
            novelty=float(novelty),
            unfamiliar=bool(novelty > 1),
            heat=heat,
            lesion=lesion,
            lesion_share=lesion_share,
        )

    def _heat(self, batch: Tensor, seen: Seen) -> np.ndarray:
        """Grad-CAM [B, S, S] of the most probable classes, on the network's square."""
        fused = raw_maps(_PrecomputedFeatures(self._net, seen.features), batch, seen.logits.argmax(dim=1)).fused
        return normalized(resized(fused, batch.shape[2:])).cpu().numpy()


def _on_images(maps: np.ndarray | None, images: Sequence[np.ndarray]) -> list[np.ndarray | None]:
    """Maps [B, S, S] of the network's square on the images' own grids; None for each image if there are none."""
    if maps is None:
        return [None] * len(images)
    return [cv2.resize(one, image.shape[1::-1]) for one, image in zip(maps, images, strict=True)]


class _PrecomputedFeatures:
    """A network with precomputed feature maps, so that Grad-CAM needs no second pass through the backbones.

    See `btlib.core.explain.gradcam.Explainable`.
    """

    def __init__(self, net: Classifier, features: tuple[Tensor, ...]):
        self.backbone_names, self.head = net.backbone_names, net.head
        self.features = lambda images: features
