"""95 % confidence intervals: stratified bootstrap and exact binomial."""

from collections.abc import Callable

import numpy as np
from scipy.stats import binomtest

CHUNK = 250  # resamples per chunk: 250 × 7,000 rows × 4 classes in float64 take 56 MB


def stratified_weights(
    strata: np.ndarray, resamples: int, rng: np.random.Generator, groups: np.ndarray | None = None
) -> np.ndarray:
    """Row counts of a bootstrap that draws rows with replacement within their stratum.

    Rows of a group are drawn together (cluster bootstrap): near copies and slices of one patient carry less information
    than as many images of different patients, and drawing them separately would make intervals too narrow.

    Args:
        strata: [N] stratum of each row, such as its class number. Resamples keep each stratum's number of groups.
        resamples: B.
        groups: [N] group of each row; None: each row on its own. A group with rows in two strata counts as two.

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


def bootstrap_ci95(
    scores: Callable[[np.ndarray], dict[str, np.ndarray]],
    strata: np.ndarray,
    resamples: int,
    rng: np.random.Generator,
    groups: np.ndarray | None = None,
) -> dict[str, list[float]]:
    """95 % percentile intervals of several scores over one bootstrap, chunk by chunk to limit memory.

    Args:
        scores: weights [B, N] -> name -> [B] values.
        strata, groups: see `stratified_weights`.
    """
    sizes = [min(CHUNK, resamples - start) for start in range(0, resamples, CHUNK)]
    chunks = [scores(stratified_weights(strata, size, rng, groups)) for size in sizes]
    return {name: interval(np.concatenate([chunk[name] for chunk in chunks])) for name in chunks[0]}


def weighted_mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """[B] means of n values with weights [B, n]; NaN without values."""
    with np.errstate(invalid="ignore"):
        return weights @ values / weights.sum(axis=1)


def interval(values: np.ndarray) -> list[float]:
    """The central 95 % of [B] resampled values, as [low, high]."""
    low, high = np.percentile(values, [2.5, 97.5])
    return [float(low), float(high)]


def exact_ci95(successes: int, trials: int) -> list[float]:
    """Clopper–Pearson interval of a proportion; at 0 or all successes it keeps its width, unlike a bootstrap."""
    found = binomtest(successes, trials).proportion_ci(0.95, method="exact")
    return [float(found.low), float(found.high)]
