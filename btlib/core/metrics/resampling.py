"""Confidence intervals of 95 %: stratified bootstrap and exact binomial."""

import numpy as np
from scipy.stats import binomtest


def stratified_weights(
    strata: np.ndarray, resamples: int, rng: np.random.Generator, groups: np.ndarray | None = None
) -> np.ndarray:
    """How often each row is drawn, with replacement within its stratum.

    Rows of one group are drawn together (a cluster bootstrap): near copies and slices of one patient tell less than
    as many images of different patients, and drawing them one by one would make intervals too narrow.

    Args:
        strata: [N] stratum of each row, such as its class number. Its number of groups stays as it is.
        resamples: B.
        groups: [N] group of each row; None: every row is its own. Members of a group in two strata count as two.

    Returns:
        [B, N] float64 counts.
    """
    weights = np.empty((resamples, len(strata)))
    for stratum in np.unique(strata):
        rows = np.flatnonzero(strata == stratum)
        member = np.arange(len(rows)) if groups is None else np.unique(groups[rows], return_inverse=True)[1]
        n_groups = member.max() + 1
        weights[:, rows] = rng.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=resamples)[:, member]
    return weights


def interval(values: np.ndarray) -> list[float]:
    """The central 95 % of [B] resampled values, as [low, high]."""
    low, high = np.percentile(values, [2.5, 97.5])
    return [float(low), float(high)]


def exact_ci95(successes: int, trials: int) -> list[float]:
    """Clopper–Pearson interval of a share: it stays honest at 0 or all successes, where a bootstrap has no width."""
    found = binomtest(successes, trials).proportion_ci(0.95, method="exact")
    return [float(found.low), float(found.high)]
