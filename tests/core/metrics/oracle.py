"""Reference values of the classification metrics, from scikit-learn and from their definitions."""

from itertools import pairwise

import numpy as np
from scipy.special import softmax
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    cohen_kappa_score,
    f1_score,
    matthews_corrcoef,
    roc_auc_score,
)

from btlib.core.metrics.predictions import Predictions

SMALLEST = 1e-45


def ece(confidence: np.ndarray, correct: np.ndarray, bins: int) -> float:
    """The ECE bin by bin, with bins open below and closed above."""
    edges, total = np.linspace(0, 1, bins + 1), 0.0
    for low, high in pairwise(edges):
        inside = (confidence > low) & (confidence <= high)
        if inside.any():
            total += inside.mean() * abs(correct[inside].mean() - confidence[inside].mean())
    return total


def expected_scores(predictions: Predictions, temperature: float, bins: int) -> dict[str, float]:
    labels, predicted = predictions.labels, predictions.predicted
    onehot, probabilities = predictions.onehot, predictions.probabilities
    scaled = softmax(np.log(np.maximum(probabilities, SMALLEST)) / temperature, axis=1)
    true_p, true_scaled = (p[np.arange(len(labels)), labels] for p in (probabilities, scaled))
    return {
        "accuracy": accuracy_score(labels, predicted),
        "macro_f1": f1_score(labels, predicted, average="macro", zero_division=0),
        "roc_auc_macro": roc_auc_score(onehot, probabilities, average="macro"),
        "roc_auc_micro": roc_auc_score(onehot, probabilities, average="micro"),
        "ap_macro": average_precision_score(onehot, probabilities, average="macro"),
        "ap_micro": average_precision_score(onehot, probabilities, average="micro"),
        "kappa": cohen_kappa_score(labels, predicted),
        "mcc": matthews_corrcoef(labels, predicted),
        "ece": ece(predictions.confidence, predictions.correct, bins),
        "ece_temperature_scaled": ece(scaled.max(axis=1), predictions.correct, bins),
        "nll": -np.log(np.maximum(true_p, SMALLEST)).mean(),
        "nll_temperature_scaled": -np.log(np.maximum(true_scaled, SMALLEST)).mean(),
        "brier": ((probabilities - onehot) ** 2).sum(axis=1).mean(),
    }
