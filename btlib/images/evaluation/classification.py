"""metrics/classification.json: all scores of the test table with their intervals."""

import numpy as np

from btlib.core.metrics.classification import ci95, per_class, scores
from btlib.core.metrics.predictions import Predictions
from btlib.core.metrics.resampling import exact_ci95


def classification_metrics(
    test: Predictions, groups: np.ndarray, temperature: float, bins: int, resamples: int, rng: np.random.Generator
) -> dict:
    """Every metric, per_class, ci95, and what they rest on: n_test, n_groups, errors, temperature.

    accuracy_ci95_exact stands beside the bootstrap interval because the latter shrinks to a point, and so promises too
    much, when a small test set holds no error.

    Args:
        groups: [N] the manifest's group of each test image, drawn together by the bootstrap.
        temperature: fitted on the validation predictions.
        bins: bins of the ECE.
        resamples: bootstrap resamples.
    """
    errors = int((~test.correct).sum())
    return {
        **scores(test, temperature, bins),
        "per_class": per_class(test),
        "ci95": ci95(test, temperature, bins, resamples, rng, groups),
        "accuracy_ci95_exact": exact_ci95(len(test.labels) - errors, len(test.labels)),
        "temperature": temperature,
        "n_test": len(test.labels),
        "n_groups": len(np.unique(groups)),
        "errors": errors,
    }
