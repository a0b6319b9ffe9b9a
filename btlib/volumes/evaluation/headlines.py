"""Headline numbers of the 3D study for metrics/; all others go to data/tables/, with levels as columns."""

from collections.abc import Mapping
from typing import Any

from btlib.core.metrics.headlines import arm_rows
from btlib.volumes.evaluation.tables import DICE

COMPARISON_LEVELS = {"rows": ["arm", "modalities"], "seeds": ["seed"], "uncertainty": ["method"], "average": "arm"}
SCORE_LEVELS = {"by_grade": "grade", "uncertainty": "method", "volumes": "region"}
ONLY_IN_THE_TABLE = ("by_grade", "grade_ci95_exact", "one_mask_empty", "uncertainty", "volumes")
COMPARED = (*DICE, "grade_accuracy")
DOUBT = ("voxel_error_auroc", "grade_error_auroc")


def score_headline(scores: Mapping[str, Any]) -> dict[str, Any]:
    """Scores over all test cases, with their intervals.

    Args:
        scores: from `scores.joint_metrics`.
    """
    return {key: value for key, value in scores.items() if key not in ONLY_IN_THE_TABLE}


def comparison_headline(scores: Mapping[str, Any]) -> dict[str, Any]:
    """The `arm_rows` with the seeds' grade accuracies, averages over missing modalities, and scores of uncertainty.

    Args:
        scores: `rows` of the arms, `missing_modalities`, and `uncertainty`, a row for each method.
    """
    rows = arm_rows(scores["rows"], "grade_accuracy", COMPARED)
    averages = {
        arm: {score: found["mean"][score] for score in COMPARED}
        for arm, found in scores["missing_modalities"]["average"].items()
    }
    doubt = {row["method"]: {key: row[key] for key in DOUBT} for row in scores["uncertainty"]}
    return {"rows": rows, "missing_modalities": averages, "uncertainty": doubt}
