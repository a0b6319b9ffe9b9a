"""metrics/joint3d.json: segmentation and grading scores of one network, with intervals over cases."""

import numpy as np
import pandas as pd

from btlib.core.metrics import calibration
from btlib.core.metrics.resampling import exact_ci95
from btlib.volumes.data.conventions import GRADES, REGIONS
from btlib.volumes.evaluation.agreement import volume_agreement
from btlib.volumes.evaluation.cohort import Cohort, estimates, intervals, weights_of
from btlib.volumes.evaluation.metrics import OUTLINES, UNCERTAINTY, grade_scores
from btlib.volumes.evaluation.tables import PROBABILITIES, JointTables
from btlib.volumes.evaluation.uncertainty import HEADLINE, uncertainty_rows

LGG, HGG = GRADES


def joint_metrics(tables: JointTables, bins: int, resamples: int, rng: np.random.Generator) -> dict:
    """Scores of the test cases with ci95 and counts; None where a score is undefined.

    dice_* and hd95_* are means over the cases that have a true segmentation, also by_grade; grade_* use the cases whose
    grade is known. The intervals resample cases within their grade, a patient's together, with the trained network
    fixed; grade_ci95_exact is added because a bootstrap shrinks to a point if no case is wrong. one_mask_empty counts
    the cases where only the truth or only the prediction is empty: their HD95 is a penalty. uncertainty has a row for
    each method, from `uncertainty_rows`; uncertainty_error_auroc is that of the method HEADLINE. volumes is from
    `volume_agreement`.

    Args:
        tables: the temperature is fitted on val; all scores use the test cases.
        bins: number of ECE bins.
        resamples: bootstrap resamples.
    """
    cohort, test, voxels = tables.cohort, tables.test, tables.voxel_errors
    weights = cohort.weights(resamples, rng)
    temperature = grade_temperature(tables.val)
    known = cohort.graded & test["p_HGG"].notna().to_numpy()
    entropy = voxels[voxels["method"] == HEADLINE]
    drawn = {
        **outline_scores(tables.segmentation, cohort.cases, weights),
        **_grade_scores(test[known], temperature, bins, weights[:, known]),
        **{name: metric.function(entropy, cohort.cases, weights) for name, metric in UNCERTAINTY.items()},
    }
    return {
        **estimates(drawn),
        "ci95": intervals(drawn),
        "by_grade": {grade: _of_grade(tables.segmentation, cohort, weights, grade) for grade in GRADES},
        "uncertainty": uncertainty_rows(voxels, tables.grade_uncertainty, cohort, resamples, rng),
        **_grade_counts(test[known]),
        "volumes": volume_agreement(tables.segmentation, cohort, weights),
        "one_mask_empty": _one_mask_empty(tables.segmentation),
        "temperature": temperature,
        "n_test": len(test),
        "n_patients": len(set(cohort.patients)),
        "n_segmented": int(cohort.segmented.sum()),
        "n_graded": int(known.sum()),
    }


def grade_temperature(val: pd.DataFrame) -> float | None:
    """The temperature fitted on a predictions table's graded cases; None without any."""
    known = val[(val["grade"] != "") & val["p_HGG"].notna()]
    if known.empty:
        return None
    high = (known["grade"] == HGG).to_numpy(dtype=int)
    return calibration.fit_temperature(known[PROBABILITIES].to_numpy(), high, known["patient"].to_numpy())


def outline_scores(segmentation: pd.DataFrame, cases: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """The metrics OUTLINES, each [B]: means over the cases of the segmentation table.

    Args:
        segmentation: from `read_segmentation`.
        cases: [N] names.
        weights: [B, N].
    """
    measures = segmentation.pivot(index="case", columns="region", values=["dice", "hd95"])
    measures = measures.reindex(segmentation["case"].unique())  # pivot sorts: sums would differ in the last digit
    values = {f"{measure}_{region}": column.to_numpy() for (measure, region), column in measures.items()}
    drawn = weights_of(measures.index, cases, weights)
    if not values:
        return dict.fromkeys(OUTLINES, np.full(len(weights), np.nan))
    return {name: metric.function(values, drawn) for name, metric in OUTLINES.items()}


def _grade_scores(
    graded: pd.DataFrame, temperature: float | None, bins: int, weights: np.ndarray
) -> dict[str, np.ndarray]:
    """`grade_scores` of the rows of a predictions table."""
    high = (graded["grade"] == HGG).to_numpy()
    scaled = None
    if temperature is not None:
        scaled = calibration.scale(graded[PROBABILITIES].to_numpy(), temperature)[:, 1]
    return grade_scores(high, graded["p_HGG"].to_numpy(), bins, weights, scaled)


def _grade_counts(graded: pd.DataFrame) -> dict:
    """grade_errors, and exact intervals of the shares that are right; None without cases."""
    high = (graded["grade"] == HGG).to_numpy()
    right = (graded["p_HGG"] > 0.5).to_numpy() == high
    parts = {"grade_accuracy": right, "grade_sensitivity": right[high], "grade_specificity": right[~high]}
    exact = {name: exact_ci95(int(part.sum()), len(part)) if len(part) else None for name, part in parts.items()}
    return {"grade_errors": int((~right).sum()), "grade_ci95_exact": exact}


def _of_grade(segmentation: pd.DataFrame, cohort: Cohort, weights: np.ndarray, grade: str) -> dict:
    """n, the mean Dice and HD95 of the cases of one grade, and their ci95."""
    names = cohort.cases[cohort.segmented & (cohort.grades == grade)]
    drawn = outline_scores(segmentation[segmentation["case"].isin(names)], cohort.cases, weights)
    return {"n": len(names), **estimates(drawn), "ci95": intervals(drawn)}


def _one_mask_empty(segmentation: pd.DataFrame) -> dict[str, int]:
    one = (segmentation["truth_ml"] == 0) != (segmentation["predicted_ml"] == 0)
    return {region: int((one & (segmentation["region"] == region)).sum()) for region in REGIONS}
