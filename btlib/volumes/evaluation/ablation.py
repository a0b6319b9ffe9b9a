"""Does joint training help? Arms of the 3D network over seeds, each against the full network on the same cases."""

from collections.abc import Mapping

import numpy as np
from scipy.stats import wilcoxon

from btlib.core.metrics.significance import ASSUMPTIONS, holm, mcnemar
from btlib.core.runtime.arm_names import FULL
from btlib.volumes.evaluation.cohort import Cohort, estimates, intervals
from btlib.volumes.evaluation.metrics import COMPARED, METRICS, grade_scores
from btlib.volumes.evaluation.scores import HGG
from btlib.volumes.evaluation.tables import DICE, Runs

ROUNDING = 12  # decimals; smaller differences come from the order of summation

READING = {
    "ci95": (
        "The intervals come from resampling the test cases within their grade, a patient's together, with the trained "
        "networks fixed: they show how the mean over these seeds varies with the choice of cases, not of seeds."
    ),
    "difference": (
        "The arm minus the full network, over the seeds that both have, on the same resampled cases; negative if the "
        "full network scores higher."
    ),
    "dice": "Tested with Wilcoxon's signed-rank test over patients, on their mean difference over seeds and cases.",
    "grade_accuracy": ASSUMPTIONS["mcnemar"].replace("image", "case"),
    "grade_auc": (
        "Tested with the paired bootstrap: p is twice the share of resamples on the rarer side of 0, and so at least "
        "2 / (resamples + 1)."
    ),
    "holm": "Holm's adjustment controls the family-wise error rate over the arms, per score; intervals are unadjusted.",
    "p_value": "The adjusted p of the Dice of the whole tumour, or of the grade AUC for an arm that does not segment.",
}


def joint_ablation_table(
    cohort: Cohort,
    arms: Mapping[str, Runs],
    failures: Mapping[str, Mapping[int, str]],
    bins: int,
    resamples: int,
    rng: np.random.Generator,
) -> dict:
    """The table as JSON: {"rows": one per arm}; READING explains the numbers.

    A row holds arm; seeds (seed with the scores COMPARED, or with failed: the reason); mean, sd (sample) and ci95 per
    score; difference, with value, ci95, p and p_holm per score (None for the full network, and for all arms if it
    failed); p_value. Undefined values are None.

    Args:
        cohort: the test cases.
        arms: arm -> runs, without arms whose seeds all failed.
        failures: arm -> seed -> reason for the failure, or ''; in the order of the rows.
        bins: number of ECE bins.
        resamples: bootstrap resamples; every arm and seed gets the same ones.
    """
    weights = cohort.weights(resamples, rng)
    others = [arm for arm in arms if arm != FULL and FULL in arms]
    differences = _with_holm({arm: _difference(arms[FULL], arms[arm], cohort, bins, weights) for arm in others})
    rows = [
        {
            "arm": arm,
            **_summary(arms.get(arm), seeds, cohort, bins, weights),
            "difference": differences.get(arm),
            "p_value": _primary_p(differences.get(arm)),
        }
        for arm, seeds in failures.items()
    ]
    return {"rows": rows}


def run_scores(runs: Runs, cohort: Cohort, bins: int, weights: np.ndarray) -> dict[str, np.ndarray]:
    """The scores COMPARED of every seed, each [S, B]; NaN where undefined.

    Args:
        bins: number of ECE bins.
        weights: [B, N] count of each case.
    """
    segmented, graded = cohort.segmented, cohort.graded
    high = cohort.grades[graded] == HGG
    every = []
    for dice, p_hgg in zip(runs.dice, runs.p_hgg, strict=True):
        measures = dict(zip(DICE, dice[segmented].T, strict=True))
        outlines = {name: METRICS[name].function(measures, weights[:, segmented]) for name in DICE}
        every.append(outlines | grade_scores(high, p_hgg[graded], bins, weights[:, graded]))
    return {name: np.stack([scores[name] for scores in every]) for name in COMPARED}


def seed_means(runs: Runs, cohort: Cohort, bins: int, weights: np.ndarray) -> dict[str, np.ndarray]:
    """The means over seeds of `run_scores`, each [B]."""
    return {name: values.mean(axis=0) for name, values in run_scores(runs, cohort, bins, weights).items()}


def _summary(
    runs: Runs | None, seeds: Mapping[int, str], cohort: Cohort, bins: int, weights: np.ndarray
) -> dict[str, list | dict]:
    """seeds, mean, sd and ci95 of one arm."""
    nothing = dict.fromkeys(COMPARED)
    if runs is None:
        failed = [{"seed": seed, "failed": reason} for seed, reason in seeds.items()]
        return {"seeds": failed, "mean": nothing, "sd": nothing, "ci95": nothing}
    scores = run_scores(runs, cohort, bins, weights)
    of_seed = {
        seed: {"seed": seed, **estimates({name: values[row] for name, values in scores.items()})}
        for row, seed in enumerate(runs.seeds)
    }
    means = {name: values.mean(axis=0) for name, values in scores.items()}
    spread = {name: values.std(axis=0, ddof=1) for name, values in scores.items()} if len(of_seed) > 1 else None
    return {
        "seeds": [{"seed": s, "failed": reason} if reason else of_seed[s] for s, reason in sorted(seeds.items())],
        "mean": estimates(means),
        "sd": estimates(spread) if spread else nothing,
        "ci95": intervals(means),
    }


def _difference(full: Runs, arm: Runs, cohort: Cohort, bins: int, weights: np.ndarray) -> dict[str, dict]:
    """Per score: value and ci95 of arm − full over the seeds that both have, and p; None where undefined."""
    shared = sorted(set(full.seeds) & set(arm.seeds))
    if not shared:
        return {name: dict.fromkeys(("value", "ci95", "p")) for name in COMPARED}
    full, arm = full.at(shared), arm.at(shared)
    ours, theirs = (seed_means(runs, cohort, bins, weights) for runs in (full, arm))
    drawn = {name: theirs[name] - ours[name] for name in COMPARED}
    high = (cohort.grades == HGG)[cohort.graded]
    right = [(runs.p_hgg[:, cohort.graded] > 0.5) == high for runs in (full, arm)]
    gained = (arm.dice.mean(axis=0) - full.dice.mean(axis=0))[cohort.segmented]
    p_values = {name: _signed_rank_p(gained[:, k], cohort.patients[cohort.segmented]) for k, name in enumerate(DICE)}
    p_values |= {"grade_accuracy": mcnemar(*right)["p"], "grade_auc": _bootstrap_p(drawn["grade_auc"][1:])}
    values, ends = estimates(drawn), intervals(drawn)
    return {
        name: {
            "value": values[name],
            "ci95": ends[name],
            "p": None if values[name] is None else p_values.get(name),
        }
        for name in COMPARED
    }


def _signed_rank_p(differences: np.ndarray, patients: np.ndarray) -> float | None:
    """Wilcoxon's two-sided p over the patients' mean differences; None if all are 0."""
    _, patient = np.unique(patients, return_inverse=True)
    means = np.round(np.bincount(patient, differences) / np.bincount(patient), ROUNDING)
    return float(wilcoxon(means).pvalue) if means.any() else None


def _bootstrap_p(differences: np.ndarray) -> float | None:
    """Two-sided p of [B] resampled differences; None if all are 0."""
    rounded = np.round(differences, ROUNDING)
    if not rounded.any():
        return None
    rarer = min((rounded <= 0).sum(), (rounded >= 0).sum())
    return float(min(1, 2 * (1 + rarer) / (1 + len(rounded))))


def _with_holm(differences: dict[str, dict[str, dict]]) -> dict[str, dict[str, dict]]:
    """Adds p_holm, adjusted over the arms, to the differences in each score."""
    adjusted = {
        name: dict(zip(differences, holm([found[name]["p"] for found in differences.values()]), strict=True))
        for name in COMPARED
    }
    return {
        arm: {name: {**found[name], "p_holm": adjusted[name][arm]} for name in COMPARED}
        for arm, found in differences.items()
    }


def _primary_p(difference: dict[str, dict] | None) -> float | None:
    if difference is None:
        return None
    segments = difference["dice_wt"]["value"] is not None
    return difference["dice_wt" if segments else "grade_auc"]["p_holm"]
