"""metrics/classification.json: all scores on the test images, with intervals."""

import numpy as np

from btlib.core.metrics.classification import ci95, per_class, scores
from btlib.core.metrics.predictions import Predictions
from btlib.core.metrics.resampling import exact_ci95


def classification_metrics(
    test: Predictions, groups: np.ndarray, temperature: float, bins: int, resamples: int, rng: np.random.Generator
) -> dict:
    """Every metric, per_class, ci95, accuracy_ci95_exact, n_test, n_groups, errors and temperature.

    The exact interval is added because the bootstrap interval shrinks to a point if a small test set has no errors.

    Args:
        groups: [N] the manifest's group of each test image, drawn together by the bootstrap.
        temperature: fitted on the validation predictions.
        bins: number of ECE bins.
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
