"""A classifier's predictions with bootstrap weights: how often each resample drew each row.

Every score is a ratio of weighted sums over rows in a fixed order, so one matrix product or cumulative sum covers all
resamples at once.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from btlib.core.metrics.calibration import bin_numbers


@dataclass(frozen=True)
class Sample:
    """N predictions under B sets of weights.

    Attributes:
        truth: [N] class numbers, 0 … K-1.
        probabilities: [N, K] rows sum to 1.
        weights: [B, N] count of each row.
        bins: number of bins for the expected calibration error.
    """

    truth: np.ndarray
    probabilities: np.ndarray
    weights: np.ndarray
    bins: int = 15

    @cached_property
    def total(self) -> np.ndarray:
        """[B] sum of the weights."""
        return self.weights.sum(axis=1)

    @cached_property
    def predicted(self) -> np.ndarray:
        """[N] most probable class numbers; the first class wins a tie."""
        return self.probabilities.argmax(axis=1)

    @cached_property
    def correct(self) -> np.ndarray:
        """[N] whether the predicted class is the true one."""
        return self.predicted == self.truth

    @cached_property
    def onehot(self) -> np.ndarray:
        """[N, K] true classes, one-hot."""
        return np.eye(self.probabilities.shape[1], dtype=int)[self.truth]

    @cached_property
    def confusion(self) -> np.ndarray:
        """[B, K, K] weighted confusion matrices, true class by predicted class."""
        classes = self.probabilities.shape[1]
        cells = np.eye(classes**2)[self.truth * classes + self.predicted]
        return (self.weights @ cells).reshape(-1, classes, classes)

    @cached_property
    def ranked(self) -> tuple[np.ndarray, np.ndarray]:
        """(ROC-AUC, average precision) of each class against the rest, each [K, B]."""
        each = [
            ranking_scores(self.onehot[:, k], self.probabilities[:, k], self.weights)
            for k in range(self.probabilities.shape[1])
        ]
        auc, ap = zip(*each, strict=True)
        return np.stack(auc), np.stack(ap)

    @cached_property
    def ranked_together(self) -> tuple[np.ndarray, np.ndarray]:
        """(ROC-AUC, average precision), each [B], over all N·K decisions."""
        weights = np.repeat(self.weights, self.probabilities.shape[1], axis=1)
        return ranking_scores(self.onehot.ravel(), self.probabilities.ravel(), weights)

    def mean(self, values: np.ndarray) -> np.ndarray:
        """[B] weighted means of `values` [N]."""
        return self.weights @ values / self.total

    def recall(self, number: int) -> np.ndarray:
        """[B] recall of class `number`; NaN if no row has that class."""
        hits, true = self.confusion[:, number, number], self.confusion[:, number].sum(axis=1)
        return np.divide(hits, true, out=np.full(len(hits), np.nan), where=true > 0)


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
    ap = (new_true * ratio(true, true + false)).sum(axis=1) / true[:, -1]
    return auc, ap


def expected_calibration_error(
    confidence: np.ndarray, correct: np.ndarray, bins: int, weights: np.ndarray
) -> np.ndarray:
    """[B] Σ_b n_b/N · |accuracy_b − confidence_b|, in 0 … 1 (Guo et al. 2017, eq 3).

    Args:
        confidence: [N] probability of the predicted class.
        correct: [N] whether that class is the true one.
        bins: number of bins of equal width.
        weights: [B, N].
    """
    member = np.eye(bins)[bin_numbers(confidence, bins)]
    gaps = weights @ (member * (correct - confidence)[:, None])
    return np.abs(gaps).sum(axis=1) / weights.sum(axis=1)


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """numerator / denominator; 0 where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.zeros_like(numerator, dtype=float), where=denominator != 0)
