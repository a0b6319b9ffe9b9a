"""Paired tests of an arm against the proposed model over seeds, and Holm's adjustment over the arms.

Each test answers a different question under different assumptions, which `ASSUMPTIONS` states for the report. Undefined
tests give None, since JSON has no NaN.
"""

from collections.abc import Sequence

import numpy as np
from scipy import stats

ASSUMPTIONS = {
    "paired_t": (
        "The seeds vary initialisation, data order and augmentation, not the split. The paired t-test (section 5.7 of "
        "the paper) therefore covers training noise on this one test set only, and assumes that the seeds' differences "
        "in accuracy are independent and normally distributed."
    ),
    "corrected_paired_t": (
        "The corrected t-test (Nadeau and Bengio, 2003) assumes that every run draws new train and test images, and "
        "inflates the variance because such draws overlap. Here the split is fixed, so the test is conservative."
    ),
    "mcnemar": (
        "McNemar's exact test counts the test images that only one of the two models gets right, pooled over seeds. "
        "It treats the same image under different seeds as independent, so with several seeds its p is optimistic "
        "(too small)."
    ),
    "holm": (
        "Holm's adjustment controls the family-wise error rate over the arms of one table, for each kind of test. "
        "Undefined tests and other tables are not counted."
    ),
}

# accuracies are multiples of 1/N, so a true spread is far above this and rounding error far below
NO_SPREAD = 1e-12


def paired_t(proposed: Sequence[float], arm: Sequence[float]) -> dict[str, float | None]:
    """Student's paired t-test of the seeds' accuracies (section 5.7 of the paper), two-sided.

    Assumes independent, normal differences. The seeds share one split, so the test covers training noise on this test
    set, not other images.

    Args:
        proposed: S accuracies in 0 … 1, one per seed.
        arm: S accuracies of the same seeds, in the same order.

    Returns:
        statistic (negative if the arm is worse) and p; both None with fewer than two seeds or if all differences are
        equal.
    """
    if not _has_spread(proposed, arm):
        return {"statistic": None, "p": None}
    found = stats.ttest_rel(arm, proposed)
    return {"statistic": float(found.statistic), "p": float(found.pvalue)}


def corrected_paired_t(
    proposed: Sequence[float], arm: Sequence[float], n_test: int, n_train: int
) -> dict[str, float | None]:
    """The corrected resampled t-test, two-sided (Nadeau and Bengio 2003, "Inference for the Generalization Error").

    The variance of the mean difference is s²·(1/S + n_test/n_train) instead of s²/S. Assumes that every run draws new
    train and test images; on a fixed split the test is conservative.

    Args:
        proposed: S accuracies in 0 … 1, one per seed.
        arm: S accuracies of the same seeds, in the same order.
        n_test: test images.
        n_train: training images.

    Returns:
        As `paired_t`.
    """
    if not _has_spread(proposed, arm):
        return {"statistic": None, "p": None}
    difference = np.subtract(arm, proposed)
    seeds = len(difference)
    statistic = difference.mean() / np.sqrt(difference.var(ddof=1) * (1 / seeds + n_test / n_train))
    return {"statistic": float(statistic), "p": float(2 * stats.t.sf(abs(statistic), df=seeds - 1))}


def mcnemar(proposed_right: np.ndarray, arm_right: np.ndarray) -> dict[str, int | float | None]:
    """McNemar's exact test (McNemar 1947, with binomial p), two-sided.

    Assumes independent decisions. Pooled over seeds, it counts each image several times, so its p is optimistic.

    Args:
        proposed_right: [S, N] bool, whether the proposed model is right, per seed and test image.
        arm_right: [S, N] bool of the same seeds and images.

    Returns:
        only_proposed_right, only_arm_right, and p (None if both counts are 0).
    """
    only_proposed = int((proposed_right & ~arm_right).sum())
    only_arm = int((arm_right & ~proposed_right).sum())
    differing = only_proposed + only_arm
    p = float(stats.binomtest(only_arm, differing).pvalue) if differing else None
    return {"only_proposed_right": only_proposed, "only_arm_right": only_arm, "p": p}


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's (1979) step-down adjustment: the running maximum of min(1, (m − i)·p_(i)), i = 0 … m − 1 in order of p.

    Args:
        p_values: one per arm; None (undefined) stays None and does not count among the m.
    """
    ranked = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    adjusted, largest = [None] * len(p_values), 0.0
    for rank, (p, place) in enumerate(ranked):
        largest = max(largest, min(1.0, (len(ranked) - rank) * p))
        adjusted[place] = largest
    return adjusted


def _has_spread(proposed: Sequence[float], arm: Sequence[float]) -> bool:
    return len(arm) > 1 and bool(np.ptp(np.subtract(arm, proposed)) > NO_SPREAD)
