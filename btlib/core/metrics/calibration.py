"""How far confidence can be taken at its word: reliability, ECE, temperature scaling."""

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

TEMPERATURES = (0.05, 20.0)
SMALLEST = 1e-45  # about the smallest float32: where a float32 softmax underflows to 0, its logarithm stays finite


def bin_numbers(confidence: np.ndarray, bins: int) -> np.ndarray:
    """[N] bin of each confidence: `bins` bins of equal width, open below and closed above, so 1.0 is in the last."""
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
    """[N, K] logarithms, finite also where a probability underflowed to 0."""
    return np.log(np.maximum(probabilities, SMALLEST))


def scale(probabilities: np.ndarray, temperature: float | np.ndarray) -> np.ndarray:
    """softmax(logits / temperature) [N, K]; the logarithms of probabilities are logits up to a constant per row.

    Args:
        temperature: one, or one for each row [N], where rows come from several networks.
    """
    return softmax(log_probabilities(probabilities) / np.reshape(temperature, (-1, 1)), axis=1)


def fit_temperature(probabilities: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> float:
    """The temperature that minimises the negative log-likelihood (Guo et al. 2017, section 4.2).

    A group counts as one observation, its rows in equal parts: otherwise one picture with a wrong label and a dozen
    near copies makes the whole network timid. One pseudo-observation of uniform label is spread over all groups, in the
    way of Platt (1999): without it, predictions without an error would drive the temperature, and every doubt, to 0.

    Args:
        probabilities: [N, K] of the validation images.
        labels: [N] class numbers.
        groups: [N] which rows belong together, as slices of one patient or near copies do.

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

    # the loss is convex in 1/T, so the bounded search cannot stop in a local minimum
    coldest, hottest = TEMPERATURES
    found = minimize_scalar(loss, bounds=(1 / hottest, 1 / coldest), method="bounded", options={"xatol": 1e-6})
    return float(1 / found.x)
