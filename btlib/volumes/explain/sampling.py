"""Uncertainty of sampled predictions, and the part of it due to disagreement between samples.

Samples come from dropout at inference (Gal and Ghahramani 2016) or from the members of an ensemble. Predictive entropy
is the total uncertainty; the mutual information between prediction and network is the part due to disagreement between
networks (BALD: Houlsby et al. 2011).
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from scipy.special import entr


class Uncertainty(NamedTuple):
    """Entropy of the mean prediction and mutual information, in nats, 0 ≤ mutual_information ≤ entropy.

    Both are arrays [...] of the same shape.
    """

    entropy: np.ndarray
    mutual_information: np.ndarray


def binary_uncertainty(samples: np.ndarray) -> Uncertainty:
    """Uncertainty of sampled binary probabilities [T, ...], such as tumour in a voxel; entropy at most log 2."""
    return _uncertainty(samples, lambda p: entr(p) + entr(1 - p))


def categorical_uncertainty(samples: np.ndarray) -> Uncertainty:
    """Uncertainty of sampled probabilities [T, ..., K] of K classes, summing to 1; entropy at most log K."""
    return _uncertainty(samples, lambda p: entr(p).sum(axis=-1))


def _uncertainty(samples: np.ndarray, entropy_of: Callable[[np.ndarray], np.ndarray]) -> Uncertainty:
    """H[E p] and H[E p] − E H[p], in float64; p · log p is 0 at p = 0."""
    assert len(samples) and samples.min() >= 0 and samples.max() <= 1, "probabilities must be in 0 … 1"
    probabilities = samples.astype(np.float64)
    entropy = entropy_of(probabilities.mean(axis=0))
    # entropy is concave, so only rounding makes the difference negative
    return Uncertainty(entropy, np.maximum(entropy - entropy_of(probabilities).mean(axis=0), 0))


class Method(NamedTuple):
    """One measure of uncertainty for one case, in bits, at most 1 for a binary prediction.

    p_wt and voxels are [X, Y, Z]: the method's probability of tumour, and its uncertainty; p_hgg and grade are the same
    as numbers. Either pair is None if the network lacks the head.
    """

    p_wt: np.ndarray | None
    voxels: np.ndarray | None
    p_hgg: float | None
    grade: float | None


def methods_of(name: str, tumor: np.ndarray | None, grade: np.ndarray | None) -> dict[str, Method]:
    """`<name>_entropy` and, for more than one sample, `<name>_mutual_information`.

    Args:
        tumor: sampled probabilities [T, X, Y, Z] of tumour, or None.
        grade: sampled probabilities [T, 2] of LGG and HGG, or None.
    """
    voxels = None if tumor is None else binary_uncertainty(tumor)
    whole = None if grade is None else categorical_uncertainty(grade)
    p_wt = None if tumor is None else tumor.mean(axis=0)
    p_hgg = None if grade is None else float(grade[:, 1].mean())
    samples = len(tumor if grade is None else grade)
    return {
        f"{name}_{kind}": Method(
            p_wt,
            None if voxels is None else getattr(voxels, kind) / np.log(2),
            p_hgg,
            None if whole is None else float(getattr(whole, kind)) / np.log(2),
        )
        for kind in (Uncertainty._fields if samples > 1 else Uncertainty._fields[:1])
    }


def all_methods(samples: Mapping[str, tuple[np.ndarray | None, np.ndarray | None]]) -> dict[str, Method]:
    """`methods_of` for every kind of samples.

    Args:
        samples: name -> sampled probabilities of tumour and of the grades.
    """
    return {method: answer for name, drawn in samples.items() for method, answer in methods_of(name, *drawn).items()}
