"""Out-of-distribution score: distance of an input's features from the training features.

Mahalanobis distance under a Gaussian with the covariance of probabilistic PCA (Tipping and Bishop 1999, eq 4–8): the
leading directions of the training features each have their own variance, all others share one. It therefore works with
fewer training inputs than features, and deviations from the subspace of the training features count most, as in "A
simple unified framework for detecting out-of-distribution samples" (Lee et al. 2018) and "ViM" (Wang et al. 2022).
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from btlib.core.runtime.errors import InputError

ARRAYS = ("mean", "directions", "deviations", "rest")
MOST_DIRECTIONS = 64


class Novelty(NamedTuple):
    """Gaussian fitted to the training features.

    mean: float32 [D]; directions: float32 [Q, D], orthonormal; deviations: float32 [Q], standard deviation along
    each; rest: float32 [1], standard deviation along every other direction; threshold: distance above which an input
    counts as unfamiliar.
    """

    mean: np.ndarray
    directions: np.ndarray
    deviations: np.ndarray
    rest: np.ndarray
    threshold: float

    def scores(self, features: np.ndarray) -> np.ndarray:
        """float64 [N] distance / threshold of features [N, D]; above 1 (or non-finite features): unfamiliar."""
        scores = self.distances(features) / self.threshold
        return np.where(np.isfinite(scores), scores, np.inf)

    def distances(self, features: np.ndarray) -> np.ndarray:
        """float64 [N] Mahalanobis distances of features [N, D]."""
        centered = features.astype(np.float64) - self.mean
        along = centered @ self.directions.T.astype(np.float64)
        outside = np.maximum((centered**2).sum(axis=1) - (along**2).sum(axis=1), 0)
        return np.sqrt(((along / self.deviations) ** 2).sum(axis=1) + outside / self.rest[0] ** 2)

    def tensors(self) -> dict[str, Tensor]:
        """The arrays by name, for `write_tensors`; the threshold belongs in the model's card."""
        return {name: torch.from_numpy(np.ascontiguousarray(getattr(self, name))) for name in ARRAYS}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], threshold: float) -> "Novelty":
        """Inverse of `tensors`. Raises InputError when an array is missing or the shapes are inconsistent."""
        missing = [name for name in ARRAYS if name not in tensors]
        if missing:
            names = ", ".join(map(repr, missing))
            raise InputError(f"missing array {names}; recreate the model folder with `dvc repro`")
        arrays = {name: tensors[name].float().numpy() for name in ARRAYS}
        shapes = {name: array.shape for name, array in arrays.items()}
        directions, features = len(arrays["deviations"].ravel()), len(arrays["mean"].ravel())
        fitting = {"mean": (features,), "directions": (directions, features), "deviations": (directions,), "rest": (1,)}
        if shapes != fitting:
            raise InputError(f"inconsistent shapes: {shapes}; recreate the model folder with `dvc repro`")
        return cls(**arrays, threshold=threshold)


def fit_novelty(train: np.ndarray, validation: np.ndarray, quantile: float) -> Novelty:
    """Fits the Gaussian and its threshold.

    Args:
        train: features of the training inputs [N, D], N ≥ 3.
        validation: features of the validation inputs [M, D], for the threshold; distances of the training inputs
            themselves are too small.
        quantile: share of the validation inputs within the threshold.
    """
    mean = train.mean(axis=0, dtype=np.float64)
    _, singular, directions = np.linalg.svd(train - mean, full_matrices=False)
    variances = singular**2 / (len(train) - 1)
    kept = min(MOST_DIRECTIONS, len(train) // 4, train.shape[1] - 1)
    rest = variances[kept:].sum() / (train.shape[1] - kept)
    parts = (mean, directions[:kept], np.sqrt(variances[:kept]), np.sqrt([rest]))
    unscaled = Novelty(*(part.astype(np.float32) for part in parts), threshold=1.0)
    return unscaled._replace(threshold=float(np.quantile(unscaled.distances(validation), quantile)))
