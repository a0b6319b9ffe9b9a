"""Every number of the classification study, from one checked predictions table."""

import numpy as np
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    cohen_kappa_score,
    f1_score,
    matthews_corrcoef,
    precision_recall_fscore_support,
    roc_auc_score,
)

from btlib.core.metrics import calibration
from btlib.core.metrics.predictions import Predictions


def headline(predictions: Predictions, temperature: float | np.ndarray, bins: int) -> dict[str, float]:
    """The scores that carry a confidence interval.

    accuracy, macro_f1 (Table 4); roc_auc_* and ap_*, one versus rest, macro = mean over classes, micro = over all
    N·K decisions (Figure 11); kappa, mcc, ece (Table 7); nll and brier (sum over classes, 0 … 2) as proper scores;
    *_temperature_scaled after division of the logits by `temperature`.

    Args:
        predictions: N images, K classes.
        temperature: fitted on other images than these; one, or one for each image [N].
        bins: bins of the ECE.
    """
    labels, predicted = predictions.labels, predictions.predicted
    onehot, probabilities = predictions.onehot, predictions.probabilities
    scaled = calibration.scale(probabilities, temperature)
    return {
        "accuracy": float(accuracy_score(labels, predicted)),
        "macro_f1": float(f1_score(labels, predicted, average="macro", zero_division=0)),
        "roc_auc_macro": float(roc_auc_score(onehot, probabilities, average="macro")),
        "roc_auc_micro": float(roc_auc_score(onehot, probabilities, average="micro")),
        "ap_macro": float(average_precision_score(onehot, probabilities, average="macro")),
        "ap_micro": float(average_precision_score(onehot, probabilities, average="micro")),
        "kappa": float(cohen_kappa_score(labels, predicted)),
        "mcc": float(matthews_corrcoef(labels, predicted)),
        "ece": calibration.ece(predictions.confidence, predictions.correct, bins),
        "ece_temperature_scaled": calibration.ece(scaled.max(axis=1), predictions.correct, bins),
        "nll": float(row_nll(probabilities, labels).mean()),
        "nll_temperature_scaled": float(row_nll(scaled, labels).mean()),
        "brier": float(row_brier(probabilities, onehot).mean()),
    }


def per_class(predictions: Predictions) -> dict[str, dict[str, float | int]]:
    """Class name -> precision, recall, f1, support, roc_auc, ap (one versus rest); precision 0 if never predicted."""
    onehot, probabilities = predictions.onehot, predictions.probabilities
    numbers = range(len(predictions.classes))
    precision, recall, f1, support = precision_recall_fscore_support(
        predictions.labels, predictions.predicted, labels=list(numbers), zero_division=0
    )
    auc = roc_auc_score(onehot, probabilities, average=None)
    ap = average_precision_score(onehot, probabilities, average=None)
    return {
        predictions.classes[k]: {
            "precision": float(precision[k]),
            "recall": float(recall[k]),
            "f1": float(f1[k]),
            "support": int(support[k]),
            "roc_auc": float(auc[k]),
            "ap": float(ap[k]),
        }
        for k in numbers
    }


def row_nll(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """[N] −log p of the true class, finite where it underflowed to 0."""
    return -np.take_along_axis(calibration.log_probabilities(probabilities), labels[:, None], axis=1)[:, 0]


def row_brier(probabilities: np.ndarray, onehot: np.ndarray) -> np.ndarray:
    """[N] squared distance between probabilities and the one-hot label, 0 … 2."""
    return ((probabilities - onehot) ** 2).sum(axis=1)
