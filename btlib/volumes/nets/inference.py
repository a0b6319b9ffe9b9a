"""Prediction of region probabilities, grade and attention for a normalised case."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from btlib.core.runtime.workers import best_device
from btlib.volumes.data.conventions import GRADES, MODALITIES
from btlib.volumes.data.store import Case
from btlib.volumes.nets.network import JointNet
from btlib.volumes.nets.plain import VolumeNet
from btlib.volumes.nets.windows import Whole, Window, see_samples


class CasePrediction(NamedTuple):
    """Prediction on the case's normalised grid; None if the network lacks the head.

    regions: float32 [3, X, Y, Z] probabilities of wt, tc, et; grade: float64 [2] probabilities of LGG and HGG;
    attention: float32 [X, Y, Z] coefficients of the finest gate.
    """

    regions: np.ndarray | None
    grade: np.ndarray | None
    attention: np.ndarray | None


def predict_case(net: VolumeNet, case: Case, window: Window, modalities: Sequence[str] = MODALITIES) -> CasePrediction:
    """Predicts without dropout, in fp32, on the GPU if there is one.

    Args:
        modalities: those available; the others are replaced by zeros, the mean of the brain.
    """
    present = torch.tensor([name in modalities for name in MODALITIES])
    image = torch.from_numpy(case.image).float() * present[:, None, None, None]
    return _predict(net, image, window, [None])[0]


def mc_samples(net: JointNet, case: Case, window: Window, samples: int, seed: int) -> list[CasePrediction]:
    """Predictions with active dropout (Gal and Ghahramani 2016), each with masks keyed by seed, case and number.

    Empty for a network without dropout, whose samples would be identical.
    """
    if net.architecture.dropout == 0:
        return []
    masks = [net.dropout_masks(1, (seed, "mc dropout", case.name, number)) for number in range(samples)]
    return _predict(net, torch.from_numpy(case.image).float(), window, masks)


@torch.inference_mode()
def _predict(net: VolumeNet, image: Tensor, window: Window, dropout_masks: Sequence) -> list[CasePrediction]:
    device = best_device()
    net = net.to(device).eval()
    masks = [sample and [mask.to(device) for mask in sample] for sample in dropout_masks]
    return [_prediction(seen) for seen in see_samples(net, image.to(device), window, masks)]


def _prediction(seen: Whole) -> CasePrediction:
    return CasePrediction(
        None if seen.regions is None else torch.sigmoid(seen.regions).cpu().numpy(),
        None if seen.grade is None else seen.grade.double().softmax(dim=0).cpu().numpy(),
        None if seen.attention is None else seen.attention.cpu().numpy(),
    )


def grade_row(grade: np.ndarray | None) -> dict[str, float]:
    """The columns p_LGG and p_HGG of a predictions table, empty (NaN) for a network without grading."""
    values = [np.nan] * len(GRADES) if grade is None else grade.tolist()
    return {f"p_{name}": value for name, value in zip(GRADES, values, strict=True)}


def stacked(predictions: Sequence[CasePrediction]) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Sampled probabilities of tumour [T, X, Y, Z] and of the grades [T, 2]; None if the network lacks the head."""
    tumor = None if predictions[0].regions is None else np.stack([p.regions[0] for p in predictions])
    return tumor, None if predictions[0].grade is None else np.stack([p.grade for p in predictions])
