"""Robustness to missing sequences: segmentation and grading scores for each of the 15 subsets of modalities."""

from collections.abc import Mapping
from itertools import combinations

import numpy as np

from btlib.core.runtime.arm_names import FULL
from btlib.core.runtime.errors import InputError, listed
from btlib.volumes.data.conventions import MODALITIES
from btlib.volumes.evaluation.ablation import seed_means
from btlib.volumes.evaluation.cohort import Cohort, estimates, intervals
from btlib.volumes.evaluation.metrics import COMPARED
from btlib.volumes.evaluation.tables import Runs

SUBSETS = ["+".join(chosen) for size in range(1, len(MODALITIES) + 1) for chosen in combinations(MODALITIES, size)]
EVERYTHING = SUBSETS[-1]
WITHOUT = "no_modality_dropout"

READING = {
    "modalities": "A missing modality is set to 0, the mean of the brain.",
    "average": "The mean over the 15 subsets; the difference is with minus without modality dropout in training.",
}


def subsets_of(arm: str) -> list[str]:
    """Modalities that an arm is tested with: every subset for the modality-dropout comparison, else only all four."""
    return SUBSETS if arm in (FULL, WITHOUT) else [EVERYTHING]


def modality_table(
    cohort: Cohort, runs: Mapping[tuple[str, str], Runs], bins: int, resamples: int, rng: np.random.Generator
) -> dict:
    """The table as JSON: rows, average, difference.

    A row holds arm, modalities (a list), and mean (over seeds) and ci95 per score of COMPARED; average is arm -> mean
    and ci95 of the mean over the 15 rows; difference is value and ci95 per score of the averages of FULL minus WITHOUT,
    None unless both exist. Undefined values are None.

    Args:
        cohort: the test cases.
        runs: (arm, subset such as t1+t2) -> runs.
        bins: number of ECE bins.
        resamples: bootstrap resamples; every row gets the same ones.

    Raises:
        InputError: a subset is missing or unknown.
    """
    arms = list(dict.fromkeys(arm for arm, _ in runs))
    faults = [f"{arm}: {subset} is missing" for arm in arms for subset in SUBSETS if (arm, subset) not in runs]
    faults += [f"{arm}: unknown modalities {subset}" for arm, subset in runs if subset not in SUBSETS]
    if faults:
        raise InputError(f"missing modalities:\n{listed(faults)}\nExpected each of {', '.join(SUBSETS)} for every arm.")
    weights = cohort.weights(resamples, rng)
    drawn = {key: seed_means(runs_, cohort, bins, weights) for key, runs_ in runs.items()}
    averages = {
        arm: {name: np.mean([drawn[arm, subset][name] for subset in SUBSETS], axis=0) for name in COMPARED}
        for arm in arms
    }
    return {
        "rows": [
            {"arm": arm, "modalities": subset.split("+"), **_summary(drawn[arm, subset])}
            for arm in arms
            for subset in SUBSETS
        ],
        "average": {arm: _summary(values) for arm, values in averages.items()},
        "difference": _difference(averages),
    }


def _summary(drawn: dict[str, np.ndarray]) -> dict:
    return {"mean": estimates(drawn), "ci95": intervals(drawn)}


def _difference(averages: dict[str, dict[str, np.ndarray]]) -> dict | None:
    if not {FULL, WITHOUT} <= averages.keys():
        return None
    drawn = {name: averages[FULL][name] - averages[WITHOUT][name] for name in COMPARED}
    values, ends = estimates(drawn), intervals(drawn)
    return {name: {"value": values[name], "ci95": ends[name]} for name in COMPARED}
