"""What of the scores of the 3D study stands in metrics/; the rest lies in data/tables/, with levels as columns."""

from collections.abc import Mapping
from typing import Any

from btlib.volumes.evaluation.tables import DICE

COMPARISON_LEVELS = {"rows": ["arm", "modalities"], "seeds": ["seed"], "uncertainty": ["method"], "average": "arm"}
SCORE_LEVELS = {"by_grade": "grade", "uncertainty": "method"}
ONLY_IN_THE_TABLE = ("by_grade", "grade_ci95_exact", "one_mask_empty", "uncertainty")
COMPARED = (*DICE, "grade_accuracy")
DOUBT = ("voxel_error_auroc", "grade_error_auroc")


def score_headline(scores: Mapping[str, Any]) -> dict[str, Any]:
    """Everything over all test cases, with its intervals.

    Args:
        scores: from `scores.joint_metrics`.
    """
    return {key: value for key, value in scores.items() if key not in ONLY_IN_THE_TABLE}


def comparison_headline(scores: Mapping[str, Any]) -> dict[str, Any]:
    """Of each arm mean and standard deviation over the seeds, the seeds' grade accuracies and the p-value; averages.

    Args:
        scores: `rows` of the arms, `missing_modalities`, and `uncertainty`, a row for each method.
    """
    rows = [
        {
            "arm": row["arm"],
            "seeds": [
                {key: run[key] for key in ("seed", "grade_accuracy", "failed") if key in run} for run in row["seeds"]
            ],
            **{of: row[of] and {score: row[of][score] for score in COMPARED} for of in ("mean", "sd")},
            "p_value": row["p_value"],
        }
        for row in scores["rows"]
    ]
    averages = {
        arm: {score: found["mean"][score] for score in COMPARED}
        for arm, found in scores["missing_modalities"]["average"].items()
    }
    doubt = {row["method"]: {key: row[key] for key in DOUBT} for row in scores["uncertainty"]}
    return {"rows": rows, "missing_modalities": averages, "uncertainty": doubt}
