"""Confidence intervals of 95 %: stratified bootstrap and exact binomial."""

import numpy as np
from scipy.stats import binomtest


def stratified_weights(strata: np.ndarray, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """How often each row is drawn, with replacement within its stratum, whose size stays as it is.

    Args:
        strata: [N] stratum of each row, such as its class number.
        resamples: B.

    Returns:
        [B, N] float64 counts.
    """
    weights = np.empty((resamples, len(strata)))
    for stratum in np.unique(strata):
        rows = np.flatnonzero(strata == stratum)
        weights[:, rows] = rng.multinomial(len(rows), np.full(len(rows), 1 / len(rows)), size=resamples)
    return weights


def interval(values: np.ndarray) -> list[float]:
    """The central 95 % of [B] resampled values, as [low, high]."""
    low, high = np.percentile(values, [2.5, 97.5])
    return [float(low), float(high)]


def exact_ci95(successes: int, trials: int) -> list[float]:
    """Clopper–Pearson interval of a share: it stays honest at 0 or all successes, where a bootstrap has no width."""
    found = binomtest(successes, trials).proportion_ci(0.95, method="exact")
    return [float(found.low), float(found.high)]
