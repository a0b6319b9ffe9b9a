"""Predictions of the packed classifier: class, confidence and heat map of single images."""

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
    float32 [H, W] in 0 … 1 on the image's own grid, Grad-CAM of `label` over all backbones, or None if not requested.
    """

    label: str
    probabilities: dict[str, float]
    confidence: float
    unsure: bool
    novelty: float
    unfamiliar: bool
    heat: np.ndarray | None


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
            heat: whether to compute heat maps too.
        """
        starts = range(0, len(images), BATCH)
        return [answer for start in starts for answer in self._predict_batch(images[start : start + BATCH], heat)]

    def _predict_batch(self, images: Sequence[np.ndarray], heat: bool) -> list[SliceAnswer]:
        settings, unsure = self._packed.card.preprocessing, self._packed.card.unsure
        squares = np.stack([preprocess(image, settings.image_size, settings.clahe) for image in images])
        batch = ResidentImages(squares, np.zeros(len(squares)), self._device).batch(np.arange(len(squares)))
        seen = see(self._net, batch)
        softmax = seen.logits.double().softmax(dim=1).cpu().numpy()
        probabilities = scale(softmax, self._packed.card.calibration.temperature)
        novelties = self._packed.novelty.scores(seen.middle.cpu().numpy())
        maps = self._heat(batch, seen, images) if heat else [None] * len(images)
        answers = []
        for row, novelty, warm in zip(probabilities, novelties, maps, strict=True):
            named = dict(zip(self.classes, row.tolist(), strict=True))
            label = self.classes[row.argmax()]
            doubt = bool(named[label] < unsure.threshold)
            answers.append(SliceAnswer(label, named, named[label], doubt, float(novelty), bool(novelty > 1), warm))
        return answers

    def _heat(self, batch: Tensor, seen: Seen, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        fused = raw_maps(_PrecomputedFeatures(self._net, seen.features), batch, seen.logits.argmax(dim=1)).fused
        maps = normalized(resized(fused, batch.shape[2:])).cpu().numpy()
        return [cv2.resize(one, image.shape[1::-1]) for one, image in zip(maps, images, strict=True)]


class _PrecomputedFeatures:
    """A network with precomputed feature maps, so that Grad-CAM needs no second pass through the backbones.

    See `btlib.core.explain.gradcam.Explainable`.
    """

    def __init__(self, net: Classifier, features: tuple[Tensor, ...]):
        self.backbone_names, self.head = net.backbone_names, net.head
        self.features = lambda images: features
