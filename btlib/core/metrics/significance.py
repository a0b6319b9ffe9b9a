"""Does an arm differ from the proposed model? Three paired tests over seeds, and Holm's adjustment over the arms.

No test here is beyond doubt: each answers its own question under its own assumption, which `ASSUMPTIONS` puts in words
for the report. A test that is undefined gives None, since JSON has no NaN.
"""

from collections.abc import Sequence

import numpy as np
from scipy import stats

ASSUMPTIONS = {
    "paired_t": (
        "The seeds vary initialisation, data order and augmentation, not the split. The paired t-test (the paper's, "
        "section 5.7) therefore speaks of training noise on this one test set only, and assumes that the seeds' "
        "differences in accuracy are independent and normal."
    ),
    "corrected_paired_t": (
        "The corrected t-test (Nadeau and Bengio, 2003) assumes that every run drew its train and test images anew, "
        "and widens the variance because such draws overlap. Here the split is fixed, so the test is conservative."
    ),
    "mcnemar": (
        "McNemar's exact test counts the test images that only one of the two models gets right, pooled over seeds. "
        "It takes the same image under different seeds as independent, so with several seeds its p is optimistic "
        "(too small)."
    ),
    "holm": (
        "Holm's adjustment bounds the chance of any false claim among the arms of one table, per kind of test. "
        "Undefined tests claim nothing and are not counted; other tables are not counted either."
    ),
}

# accuracies are multiples of 1/N, so a true spread is far above this and rounding far below
NO_SPREAD = 1e-12


def paired_t(proposed: Sequence[float], arm: Sequence[float]) -> dict[str, float | None]:
    """Student's paired t-test of the seeds' accuracies (section 5.7 of the paper), two-sided.

    Assumes independent, normal differences. The seeds share one split, so it speaks of training noise on this test set
    and says nothing about other images.

    Args:
        proposed: S accuracies in 0 … 1, one per seed.
        arm: S accuracies of the same seeds, in the same order.

    Returns:
        statistic (negative where the arm is worse) and p; both None below two seeds or where all differences are equal.
    """
    if not _has_spread(proposed, arm):
        return {"statistic": None, "p": None}
    found = stats.ttest_rel(arm, proposed)
    return {"statistic": float(found.statistic), "p": float(found.pvalue)}


def corrected_paired_t(
    proposed: Sequence[float], arm: Sequence[float], n_test: int, n_train: int
) -> dict[str, float | None]:
    """The corrected resampled t-test, two-sided (Nadeau and Bengio 2003, "Inference for the Generalization Error").

    The variance of the mean difference is s²·(1/S + n_test/n_train) in place of s²/S. Assumes that train and test
    images were drawn anew in every run; on one fixed split it is conservative.

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

    Assumes independent decisions. Pooled over seeds it counts one image several times, so its p is optimistic.

    Args:
        proposed_right: [S, N] bool, whether the proposed model is right, per seed and test image.
        arm_right: [S, N] bool of the same seeds and images.

    Returns:
        only_proposed_right, only_arm_right, and p; None where both counts are 0, as nothing tells the models apart.
    """
    only_proposed = int((proposed_right & ~arm_right).sum())
    only_arm = int((arm_right & ~proposed_right).sum())
    differing = only_proposed + only_arm
    p = float(stats.binomtest(only_arm, differing).pvalue) if differing else None
    return {"only_proposed_right": only_proposed, "only_arm_right": only_arm, "p": p}


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's (1979) step-down adjustment: the largest of min(1, (m − i)·p_(i)) so far, i = 0 … m − 1 in order of p.

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
