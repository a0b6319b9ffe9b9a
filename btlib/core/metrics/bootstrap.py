"""Thousands of bootstrap resamples of every headline score at once.

A resample is a vector of how often each row was drawn. Every score is then a ratio of weighted sums over rows in a
fixed order, so one matrix product or cumulative sum serves all resamples; `tests/core/metrics/test_bootstrap.py` holds
each against scikit-learn with the rows repeated.
"""

import numpy as np

from btlib.core.metrics import calibration
from btlib.core.metrics.predictions import Predictions
from btlib.core.metrics.resampling import interval, stratified_weights
from btlib.core.metrics.scores import row_brier, row_nll

CHUNK = 250  # resamples at a time: 250 × 7,000 rows × 4 classes of float64 are 56 MB


def ci95(
    predictions: Predictions,
    temperature: float | np.ndarray,
    bins: int,
    resamples: int,
    rng: np.random.Generator,
    groups: np.ndarray | None = None,
) -> dict[str, list[float]]:
    """Percentile intervals of every headline score, resampling images within their true class.

    They say how the scores vary with the choice of test images, for this one trained net. The ECE is biased upwards
    in small samples, so its interval may lie above the estimate.

    Args:
        groups: [N] group of each image; images of one group are drawn together. None: each image by itself.
    """
    sizes = [min(CHUNK, resamples - start) for start in range(0, resamples, CHUNK)]
    chunks = [
        resampled_scores(predictions, temperature, bins, stratified_weights(predictions.labels, size, rng, groups))
        for size in sizes
    ]
    return {name: interval(np.concatenate([chunk[name] for chunk in chunks])) for name in chunks[0]}


def resampled_scores(
    predictions: Predictions, temperature: float | np.ndarray, bins: int, weights: np.ndarray
) -> dict[str, np.ndarray]:
    """The scores of `scores.headline`, each [B], with row n counted weights[b, n] times."""
    labels, onehot, probabilities = predictions.labels, predictions.onehot, predictions.probabilities
    scaled = calibration.scale(probabilities, temperature)
    total = weights.sum(axis=1)
    ranked = [ranking_scores(onehot[:, k], probabilities[:, k], weights) for k in range(len(predictions.classes))]
    auc_micro, ap_micro = ranking_scores(
        onehot.ravel(), probabilities.ravel(), np.repeat(weights, len(predictions.classes), axis=1)
    )
    rows = {
        "nll": row_nll(probabilities, labels),
        "nll_temperature_scaled": row_nll(scaled, labels),
        "brier": row_brier(probabilities, onehot),
    }
    return {
        **confusion_scores(labels, predictions.predicted, len(predictions.classes), weights),
        "roc_auc_macro": np.mean([auc for auc, _ in ranked], axis=0),
        "roc_auc_micro": auc_micro,
        "ap_macro": np.mean([ap for _, ap in ranked], axis=0),
        "ap_micro": ap_micro,
        "ece": ece(predictions.confidence, predictions.correct, bins, weights),
        "ece_temperature_scaled": ece(scaled.max(axis=1), predictions.correct, bins, weights),
        **{name: weights @ values / total for name, values in rows.items()},
    }


def confusion_scores(
    labels: np.ndarray, predicted: np.ndarray, classes: int, weights: np.ndarray
) -> dict[str, np.ndarray]:
    """accuracy, macro_f1, kappa and mcc, each [B], from the weighted confusion matrices."""
    cells = np.eye(classes**2)[labels * classes + predicted]
    matrices = (weights @ cells).reshape(-1, classes, classes)
    total, hits = matrices.sum(axis=(1, 2)), np.trace(matrices, axis1=1, axis2=2)
    true, said = matrices.sum(axis=2), matrices.sum(axis=1)
    diagonal = np.diagonal(matrices, axis1=1, axis2=2)
    chance = (true * said).sum(axis=1)
    spread = np.sqrt((total**2 - (said**2).sum(axis=1)) * (total**2 - (true**2).sum(axis=1)))
    return {
        "accuracy": hits / total,
        "macro_f1": _ratio(2 * diagonal, true + said).mean(axis=1),
        "kappa": _ratio(hits * total - chance, total**2 - chance),
        "mcc": _ratio(hits * total - chance, spread),
    }


def ranking_scores(positive: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """ROC-AUC and average precision of one binary ranking; tied scores share one threshold, as in scikit-learn.

    Args:
        positive: [N] 0/1.
        scores: [N].
        weights: [B, N].

    Returns:
        (auc, ap), each [B].
    """
    order = np.argsort(-scores, kind="stable")
    last_of_tie = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    ordered = weights[:, order]
    true = np.cumsum(ordered * positive[order], axis=1)[:, last_of_tie]
    false = np.cumsum(ordered, axis=1)[:, last_of_tie] - true
    new_true, new_false = (np.diff(counts, axis=1, prepend=0) for counts in (true, false))
    auc = ((true - new_true / 2) * new_false).sum(axis=1) / (true[:, -1] * false[:, -1])
    ap = (new_true * _ratio(true, true + false)).sum(axis=1) / true[:, -1]
    return auc, ap


def ece(confidence: np.ndarray, correct: np.ndarray, bins: int, weights: np.ndarray) -> np.ndarray:
    """[B] expected calibration errors."""
    member = np.eye(bins)[calibration.bin_numbers(confidence, bins)]
    gaps = weights @ (member * (correct - confidence)[:, None])
    return np.abs(gaps).sum(axis=1) / weights.sum(axis=1)


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """numerator / denominator, and 0 where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.zeros_like(numerator, dtype=float), where=denominator != 0)
