"""Selection of the test images shown in a figure."""

import numpy as np

from btlib.core.metrics.predictions import Predictions
from btlib.core.runtime.reproducibility import keyed_rng


def shown_rows(predictions: Predictions, per_class: int, *key: object) -> dict[str, np.ndarray]:
    """Rows to show for each true class, drawn by key: errors first, at most half of them unless few rows are right.

    A plain draw from an accurate network would show no errors, and errors alone would hide that they are rare.

    Args:
        per_class: maximum number of rows of each class.
        key: what the draw depends on, e.g. (seed, "figure").

    Returns:
        Class name -> row numbers.
    """
    shown = {}
    for k, name in enumerate(predictions.classes):
        drawn = keyed_rng(*key, name).permutation(np.flatnonzero(predictions.labels == k))
        right, wrong = drawn[predictions.correct[drawn]], drawn[~predictions.correct[drawn]]
        errors = max(per_class // 2, per_class - len(right))
        shown[name] = np.concatenate([wrong[:errors], right])[:per_class]
    return shown
