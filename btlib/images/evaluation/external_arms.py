"""Scores of an ablation's arms on images from another hospital: over their seeds, and against the proposed one."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from btlib.core.metrics.resampling import bootstrap_ci95
from btlib.core.runtime.arm_names import PROPOSED
from btlib.core.runtime.artifacts import read_csv
from btlib.core.runtime.errors import InputError
from btlib.images.data.tumor_or_none import NONE
from btlib.images.evaluation.external import (
    TUMOR_OR_NONE,
    WITHIN,
    External,
    external_of,
    patient_aucs,
    strata_of,
    undefined_scores,
    weighted,
)

COLUMNS = ("arm", "seed", "path", "label", "patient", f"p_{NONE}")
DIFFERENCE = "difference"  # of the AUC within patients, the arm minus the proposed one

Arms = Mapping[str, Mapping[int, External]]  # arm -> seed -> predictions of the same images in the same order
Scores = dict[tuple[str, str], np.ndarray]  # (arm, score) -> [B]


def read_arms(path: Path) -> Arms:
    """Reads a table from `btlib.app.predict.external_arms`, arms in its order; none if it has no rows.

    Raises:
        InputError: the table is missing or lacks columns, or its arms and seeds have different images.
    """
    table = read_csv(path, text=("arm", "path", "label", "patient"))
    if table.empty:
        return {}
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise InputError(f"{path}: missing columns {missing}; run `dvc repro predict_external_arms`")
    arms: dict[str, dict[int, External]] = {}
    paths = None
    for (arm, seed), part in table.groupby(["arm", "seed"], sort=False):
        paths = list(part["path"]) if paths is None else paths
        if list(part["path"]) != paths:
            raise InputError(
                f"{path}: arm {arm}, seed {seed}: not the images of the first arm; "
                "run `dvc repro predict_external_arms`"
            )
        arms.setdefault(arm, {})[int(seed)] = external_of(part)
    return arms


def arm_scores(arms: Arms, resamples: int, rng: np.random.Generator) -> list[dict]:
    """A row per arm, in the given order, with 95 % intervals over the set's patients (see `external_scores`).

    The networks are fixed: every arm and seed is scored on the same resamples, so that differences are paired, and the
    intervals say nothing of other seeds.

    Args:
        arms: at least one.

    Returns:
        Rows with arm; seeds; sensitivity, specificity, auc and auc_within_patients, means over the seeds; ci95: score
        -> [low, high]; difference: value and ci95 of auc_within_patients, the arm minus the proposed one. Scores that
        are undefined for the set (see `undefined_scores`) are null, and so are the difference without a proposed arm
        and, with a single patient who has images of both kinds, the intervals of auc_within_patients.
    """
    answers = next(answers for seeds in arms.values() for answers in seeds.values())
    undefined = undefined_scores(answers)
    names = [name for name in TUMOR_OR_NONE if name not in undefined]
    estimates = _seed_means(arms, np.ones((1, len(answers.labels))), names)
    ci95 = bootstrap_ci95(
        lambda weights: _seed_means(arms, weights, names), strata_of(answers), resamples, rng, answers.patients
    )
    if len(patient_aucs(answers)[0]) == 1:  # no width, as in `external_scores`
        ci95 = {(arm, name): ends for (arm, name), ends in ci95.items() if name not in (WITHIN, DIFFERENCE)}
    return [_row(arm, seeds, estimates, ci95) for arm, seeds in arms.items()]


def _seed_means(arms: Arms, weights: np.ndarray, names: Sequence[str]) -> Scores:
    """The scores `names` of each arm, averaged over its seeds, and DIFFERENCE of every arm but the proposed one."""
    means: Scores = {}
    for arm, seeds in arms.items():
        each = [weighted(answers, weights, names) for answers in seeds.values()]
        means |= {(arm, name): np.mean([found[name] for found in each], axis=0) for name in names}
    if WITHIN in names and PROPOSED in arms:
        others = [arm for arm in arms if arm != PROPOSED]
        means |= {(arm, DIFFERENCE): means[arm, WITHIN] - means[PROPOSED, WITHIN] for arm in others}
    return means


def _row(arm: str, seeds: Mapping[int, External], estimates: Scores, ci95: Mapping) -> dict:
    values = {name: float(found[0]) for (other, name), found in estimates.items() if other == arm}
    difference = {"value": values[DIFFERENCE], "ci95": ci95.get((arm, DIFFERENCE))} if DIFFERENCE in values else None
    return {
        "arm": arm,
        "seeds": sorted(seeds),
        **{name: values.get(name) for name in TUMOR_OR_NONE},
        "ci95": {name: ci95.get((arm, name)) for name in TUMOR_OR_NONE},
        DIFFERENCE: difference,
    }
