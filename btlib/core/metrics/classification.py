"""The metrics of the classification study. To add one, write its function on a `Sample` and its entry in METRICS.

Estimates, intervals, tables, figures and reports all read METRICS; `tests/core/metrics/oracle.py` computes each with
scikit-learn for comparison.
"""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from btlib.core.metrics import calibration
from btlib.core.metrics.metric import Metric, Shown, names, registry, temperature_scaled
from btlib.core.metrics.predictions import Predictions
from btlib.core.metrics.resampling import bootstrap_ci95
from btlib.core.metrics.sample import Sample, expected_calibration_error, ratio


def accuracy(sample: Sample) -> np.ndarray:
    return np.trace(sample.confusion, axis1=1, axis2=2) / sample.total


def macro_f1(sample: Sample) -> np.ndarray:
    """A class that neither occurs nor is predicted counts as 0, as in scikit-learn."""
    return f1_of_classes(sample).mean(axis=1)


def f1_of_classes(sample: Sample) -> np.ndarray:
    """[B, K] F1 of each class."""
    true, predicted = sample.confusion.sum(axis=2), sample.confusion.sum(axis=1)
    return ratio(2 * np.diagonal(sample.confusion, axis1=1, axis2=2), true + predicted)


def roc_auc_macro(sample: Sample) -> np.ndarray:
    return np.mean(sample.ranked[0], axis=0)


def roc_auc_micro(sample: Sample) -> np.ndarray:
    return sample.ranked_together[0]


def ap_macro(sample: Sample) -> np.ndarray:
    return np.mean(sample.ranked[1], axis=0)


def ap_micro(sample: Sample) -> np.ndarray:
    return sample.ranked_together[1]


def kappa(sample: Sample) -> np.ndarray:
    hits, chance, _ = _agreement(sample)
    return ratio(hits * sample.total - chance, sample.total**2 - chance)


def mcc(sample: Sample) -> np.ndarray:
    hits, chance, spread = _agreement(sample)
    return ratio(hits * sample.total - chance, spread)


def ece(sample: Sample) -> np.ndarray:
    return expected_calibration_error(sample.probabilities.max(axis=1), sample.correct, sample.bins, sample.weights)


def nll(sample: Sample) -> np.ndarray:
    """Finite even where the probability of the true class underflowed to 0."""
    log_p = calibration.log_probabilities(sample.probabilities)
    return sample.mean(-np.take_along_axis(log_p, sample.truth[:, None], axis=1)[:, 0])


def brier(sample: Sample) -> np.ndarray:
    """Squared distance between probabilities and the one-hot label, 0 … 2."""
    return sample.mean(((sample.probabilities - sample.onehot) ** 2).sum(axis=1))


ECE = Metric(
    "ece",
    ece,
    "expected calibration error (ECE)",
    "Table 7; Guo et al. 2017, eq 3",
    "ECE",
    4,
    higher_is_better=False,
    shown=Shown.EVERYWHERE,
)
NLL = Metric("nll", nll, "log loss", "mean −log p of the true class", digits=4, higher_is_better=False)
METRICS = registry(
    (
        Metric("accuracy", accuracy, "accuracy", "Table 4", "", 2, "%", shown=Shown.EVERYWHERE),
        Metric("macro_f1", macro_f1, "macro F1", "Table 4", shown=Shown.EVERYWHERE),
        Metric(
            "roc_auc_macro",
            roc_auc_macro,
            "macro ROC-AUC",
            "Figure 11a; one class against the rest, mean over classes",
            "macro AUC",
            4,
            shown=Shown.EVERYWHERE,
        ),
        Metric("roc_auc_micro", roc_auc_micro, "micro ROC-AUC", "Figure 11a; over all N·K decisions", digits=4),
        Metric("ap_macro", ap_macro, "macro average precision", "Figure 11b; mean over classes"),
        Metric("ap_micro", ap_micro, "micro average precision", "Figure 11b; over all N·K decisions"),
        Metric("kappa", kappa, "Cohen's kappa", "Table 7; Cohen 1960", digits=4, shown=Shown.SUMMARY),
        Metric(
            "mcc",
            mcc,
            "Matthews correlation (MCC)",
            "Table 7; Gorodkin 2004, the K-class form",
            "MCC",
            4,
            shown=Shown.SUMMARY,
        ),
        ECE,
        temperature_scaled(ECE),
        NLL,
        temperature_scaled(NLL),
        Metric("brier", brier, "Brier score (0 … 2)", "Brier 1950", digits=4, higher_is_better=False),
    )
)
COMPARED = names(METRICS.values(), Shown.EVERYWHERE)


def scores(
    predictions: Predictions,
    temperature: float | np.ndarray,
    bins: int,
    wanted: Iterable[str] = tuple(METRICS),
) -> dict[str, float]:
    """The `wanted` metrics of N images.

    Args:
        temperature: divisor of the logits for the temperature-scaled metrics, fitted on other images; a scalar, or one
            per image [N].
        bins: number of ECE bins.
    """
    found = resampled_scores(predictions, temperature, bins, np.ones((1, len(predictions.labels))), wanted)
    return {name: float(values[0]) for name, values in found.items()}


def resampled_scores(
    predictions: Predictions,
    temperature: float | np.ndarray,
    bins: int,
    weights: np.ndarray,
    wanted: Iterable[str] = tuple(METRICS),
) -> dict[str, np.ndarray]:
    """The `wanted` metrics, each [B], with row n counted weights[b, n] times."""
    metrics = {name: METRICS[name] for name in wanted}
    plain = scaled = Sample(predictions.labels, predictions.probabilities, weights, bins)
    if any(metric.scaled for metric in metrics.values()):
        scaled = replace(plain, probabilities=calibration.scale(plain.probabilities, temperature))
    return {name: metric.function(scaled if metric.scaled else plain) for name, metric in metrics.items()}


def ci95(
    predictions: Predictions,
    temperature: float | np.ndarray,
    bins: int,
    resamples: int,
    rng: np.random.Generator,
    groups: np.ndarray | None = None,
) -> dict[str, list[float]]:
    """95 % percentile intervals of every metric, from a bootstrap of images within their true class.

    They show how the scores of this one trained network vary with the choice of test images. The ECE is biased upwards
    in small samples, so its interval may lie above the estimate.

    Args:
        groups: [N] group of each image; images of a group are drawn together. None: each image on its own.
    """
    return bootstrap_ci95(
        lambda weights: resampled_scores(predictions, temperature, bins, weights),
        predictions.labels,
        resamples,
        rng,
        groups,
    )


def per_class(predictions: Predictions) -> dict[str, dict[str, float | int]]:
    """Class name -> precision (0 if never predicted), recall, f1, support, roc_auc and ap (one versus rest)."""
    sample = Sample(predictions.labels, predictions.probabilities, np.ones((1, len(predictions.labels))))
    counts, (auc, ap) = sample.confusion[0], sample.ranked
    columns = {
        "precision": ratio(np.diag(counts), counts.sum(axis=0)),
        "recall": ratio(np.diag(counts), counts.sum(axis=1)),
        "f1": f1_of_classes(sample)[0],
        "support": counts.sum(axis=1),
        "roc_auc": auc[:, 0],
        "ap": ap[:, 0],
    }
    return {
        label: {name: int(values[k]) if name == "support" else float(values[k]) for name, values in columns.items()}
        for k, label in enumerate(predictions.classes)
    }


def _agreement(sample: Sample) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hits, Σ_k true_k · predicted_k and the denominator of the MCC of the confusion matrices, each [B]."""
    true, predicted = sample.confusion.sum(axis=2), sample.confusion.sum(axis=1)
    spread = (sample.total**2 - (predicted**2).sum(axis=1)) * (sample.total**2 - (true**2).sum(axis=1))
    return np.trace(sample.confusion, axis1=1, axis2=2), (true * predicted).sum(axis=1), np.sqrt(spread)
