"""Small tables of the 3D study, as the stages write them."""

import numpy as np
import pandas as pd

from btlib.volumes.evaluation.modalities import SUBSETS
from btlib.volumes.evaluation.tables import (
    CASE_SCORES,
    DICE,
    GRADE_UNCERTAINTY,
    PREDICTIONS,
    SEGMENTATION,
    VOXEL_ERRORS,
)
from btlib.volumes.evaluation.uncertainty import BINS, histogram_rows

CASES = [f"case{n:02}" for n in range(14)]
PATIENTS = ["p0", "p0", *(f"p{n}" for n in range(2, 14))]  # the first two are of one patient
GRADES = ["HGG", "HGG", "LGG"] * 4 + ["", "LGG"]
SEGMENTED = CASES[:12]
BEFORE = ("full", "segmentation_only", "grading_only", "no_attention", "no_modality_dropout")
ARMS = (*BEFORE, "radiomics", "resnet10")
GRADE_ONLY = ("grading_only", "radiomics", "resnet10")
SEEDS = (0, 1, 2)


def predictions(seed: int = 0) -> pd.DataFrame:
    """Mostly right, in steps of 0.01, so that some are tied."""
    high = np.array([grade == "HGG" for grade in GRADES])
    p = np.clip(np.random.default_rng(seed).normal(0.4 + 0.25 * high, 0.25).round(2), 0.01, 0.99)
    return pd.DataFrame({"case": CASES, "patient": PATIENTS, "grade": GRADES, "p_LGG": 1 - p, "p_HGG": p})[PREDICTIONS]


def segmentation() -> pd.DataFrame:
    """All cases except the last two; case02 has no enhancing tumour, and in case05 it was missed."""
    rng = np.random.default_rng(1)
    rows = [
        [case, region, rng.beta(8, 2), rng.gamma(2, 3), 20.0, 19.0, 0.5]
        for case in SEGMENTED
        for region in ("wt", "tc", "et")
    ]
    table = pd.DataFrame(rows, columns=SEGMENTATION)
    enhancing = table["region"] == "et"
    table.loc[enhancing & (table["case"] == "case02"), SEGMENTATION[2:]] = [1.0, 0.0, 0.0, 0.0, 1.0]
    table.loc[enhancing & (table["case"] == "case05"), SEGMENTATION[2:]] = [0.0, 200.0, 3.0, 0.0, 0.0]
    return table


def voxel_errors(methods: tuple[str, ...] = ("softmax_entropy", "mc_entropy")) -> pd.DataFrame:
    rng = np.random.default_rng(2)
    counts = [
        (method, case, np.stack([rng.poisson(40, BINS) * (np.arange(BINS) < 200), rng.poisson(2, BINS)]))
        for method in methods
        for case in SEGMENTED
    ]
    return pd.concat([histogram_rows(*part) for part in counts], ignore_index=True)[VOXEL_ERRORS]


def grade_uncertainty(methods: tuple[str, ...] = ("softmax_entropy", "mc_entropy")) -> pd.DataFrame:
    parts = []
    for number, method in enumerate(methods):
        p = predictions(number)["p_HGG"]
        parts.append(pd.DataFrame({"method": method, "case": CASES, "p_HGG": p, "uncertainty": 1 - abs(2 * p - 1)}))
    return pd.concat(parts, ignore_index=True)[GRADE_UNCERTAINTY]


def run_rows(arm: str, seed: int, lift: float = 0.0) -> pd.DataFrame:
    """The case scores of one run; `lift` shifts every Dice."""
    rng = np.random.default_rng([seed, ARMS.index(arm)])
    table = predictions(10 + 5 * ARMS.index(arm) + seed).drop(columns="p_LGG").assign(arm=arm, seed=seed)
    level = np.random.default_rng(7).uniform(0.6, 0.9, (len(CASES), 3))
    table[DICE] = np.clip(level + rng.normal(lift, 0.03, level.shape), 0, 1)
    table.loc[~table["case"].isin(SEGMENTED), DICE] = np.nan
    if arm == "segmentation_only":
        table["p_HGG"] = np.nan
    if arm in GRADE_ONLY:
        table[DICE] = np.nan
    return table[CASE_SCORES]


def case_scores(arms: tuple[str, ...] = ARMS) -> pd.DataFrame:
    return pd.concat(
        [run_rows(arm, seed, -0.02 * n) for n, arm in enumerate(arms) for seed in SEEDS], ignore_index=True
    )


def modality_scores() -> pd.DataFrame:
    """More modalities are better, especially without modality dropout."""
    parts = []
    for arm, loss in (("full", 0.05), ("no_modality_dropout", 0.1)):
        for subset in SUBSETS:
            lift = -loss * (4 - len(subset.split("+")))
            parts += [run_rows(arm, seed, lift).assign(subset=subset) for seed in SEEDS]
    return pd.concat(parts, ignore_index=True)[["arm", "subset", *CASE_SCORES[1:]]]


def runs(arms: tuple[str, ...] = ARMS) -> pd.DataFrame:
    return pd.DataFrame([[arm, seed, ""] for arm in arms for seed in SEEDS], columns=["arm", "seed", "failed"])
