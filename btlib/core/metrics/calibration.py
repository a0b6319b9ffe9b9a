"""Calibration: confidence bins, reliability tables and temperature scaling."""

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

TEMPERATURES = (0.05, 20.0)
SMALLEST = 1e-45  # about the smallest float32: keeps the logarithm finite where a float32 softmax underflows to 0


def bin_numbers(confidence: np.ndarray, bins: int) -> np.ndarray:
    """[N] bin of each confidence: `bins` of equal width, open below and closed above, so 1.0 is in the last one."""
    return np.digitize(confidence, np.linspace(0, 1, bins + 1)[1:-1], right=True)


def reliability(confidence: np.ndarray, correct: np.ndarray, bins: int) -> pd.DataFrame:
    """Per bin: lower, upper, count, and mean confidence and accuracy (NaN where the bin is empty).

    Args:
        confidence: [N] probability of the predicted class.
        correct: [N] bool.
        bins: number of bins of equal width over 0 … 1.
    """
    number = bin_numbers(confidence, bins)
    count, sure, right = (np.bincount(number, w, minlength=bins) for w in (None, confidence, correct))
    with np.errstate(invalid="ignore"):
        means = {"confidence": sure / count, "accuracy": right / count}
    edges = np.linspace(0, 1, bins + 1)
    return pd.DataFrame({"lower": edges[:-1], "upper": edges[1:], "count": count, **means})


def log_probabilities(probabilities: np.ndarray) -> np.ndarray:
    """[N, K] logarithms, finite even where a probability underflowed to 0."""
    return np.log(np.maximum(probabilities, SMALLEST))


def scale(probabilities: np.ndarray, temperature: float | np.ndarray) -> np.ndarray:
    """softmax(logits / temperature) [N, K]; log probabilities are logits up to a constant per row.

    Args:
        temperature: a scalar, or one per row [N] if the rows come from several networks.
    """
    return softmax(log_probabilities(probabilities) / np.reshape(temperature, (-1, 1)), axis=1)


def fit_temperature(probabilities: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> float:
    """The temperature that minimises the negative log-likelihood (Guo et al. 2017, section 4.2).

    A group counts as one observation, shared equally by its rows: otherwise a mislabelled image with a dozen near
    copies would make the whole network underconfident. As in Platt (1999), one pseudo-observation with a uniform label
    is spread over all groups: without it, error-free predictions would drive the temperature to its lower bound.

    Args:
        probabilities: [N, K] of the validation images.
        labels: [N] class numbers.
        groups: [N] group of each row; slices of one patient and near copies share a group.

    Returns:
        A temperature within `TEMPERATURES`; above 1 softens, below 1 sharpens.
    """
    logits = log_probabilities(probabilities)
    _, number, size = np.unique(groups, return_inverse=True, return_counts=True)
    n_groups, n_classes = len(size), logits.shape[1]
    target = (n_groups * np.eye(n_classes)[labels] + 1 / n_classes) / (n_groups + 1)
    weighted = target / size[number, None]

    def loss(inverse: float) -> float:
        return -float((weighted * log_softmax(logits * inverse, axis=1)).sum() / n_groups)

    # the loss is convex in 1/T, so the bounded search cannot end in a local minimum
    coldest, hottest = TEMPERATURES
    found = minimize_scalar(loss, bounds=(1 / hottest, 1 / coldest), method="bounded", options={"xatol": 1e-6})
    return float(1 / found.x)
