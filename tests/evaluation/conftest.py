import numpy as np
import pytest

from btlib.core.metrics.predictions import Predictions

CLASSES = ("glioma", "meningioma", "no_tumor", "pituitary")


@pytest.fixture
def predictions() -> Predictions:
    """157 images of four classes of unequal size, 25 or so wrong, and many ties, since probabilities have 2 digits."""
    rng = np.random.default_rng(3)
    labels = rng.permutation(np.repeat(np.arange(4), (60, 40, 35, 22)))
    raw = rng.dirichlet(np.ones(4), size=len(labels)) + 0.8 * np.eye(4)[labels] * rng.random((len(labels), 1))
    percent = np.floor(100 * raw / raw.sum(axis=1, keepdims=True))
    percent[:, 0] += 100 - percent.sum(axis=1)
    return Predictions(np.array([f"i{n}" for n in range(len(labels))], dtype=object), labels, percent / 100, CLASSES)
