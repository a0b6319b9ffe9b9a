"""What of the scores of the 2D study stands in metrics/; the rest lies in data/tables/, with levels as columns."""

from collections.abc import Mapping
from typing import Any

ABLATION_LEVELS = {"rows": ["arm"], "seeds": ["seed"]}
ABLATION_SCORES = ("accuracy", "macro_f1")
ROBUSTNESS_LEVELS = {"models": "model", "corruptions": "corruption", "severities": "severity"}
SHORTCUT_LEVELS = {
    "views": "model",
    "model": "view",
    "pasted": "lesion",
    "contrasts": "subject",
    "subject": "contrast",
    "matched": "images",
}


def ablation_headline(table: Mapping[str, Any]) -> dict[str, Any]:
    """Of each arm mean and standard deviation over the seeds, the seeds' accuracies and the p-value.

    Args:
        table: from `ablation.ablation_table`.
    """
    rows = [
        {
            "arm": row["arm"],
            "seeds": [{key: run[key] for key in ("seed", "accuracy", "failed") if key in run} for run in row["seeds"]],
            **{of: row[of] and {score: row[of][score] for score in ABLATION_SCORES} for of in ("mean", "sd")},
            "p_value": row["p_value"],
        }
        for row in table["rows"]
    ]
    return {"rows": rows}


def robustness_headline(scores: Mapping[str, Any]) -> dict[str, Any]:
    """Of each model the clean accuracy, and accuracy, its drop and ECE over all corruptions."""
    models = {
        name: {"clean": found["clean"]["accuracy"], **{key: found[key] for key in ("mca", "drop", "mean_ece")}}
        for name, found in scores["models"].items()
    }
    return {**scores, "models": models}


def shortcut_headline(scores: Mapping[str, Any]) -> dict[str, Any]:
    """The accuracy on each view, who is called a tumour where lesions are pasted or contrasts change, matched pairs."""
    return {
        "views": {
            model: {view: found["accuracy"] for view, found in views.items()}
            for model, views in scores["views"].items()
        },
        "pasted": {lesion: found["called_tumor"] for lesion, found in scores["pasted"].items()},
        "contrasts": {
            subject: {contrast: found["called_tumor"] for contrast, found in contrasts.items()}
            for subject, contrasts in scores["contrasts"].items()
        },
        "matched": {
            images: {key: part["value"] for key, part in found.items() if isinstance(part, Mapping)}
            for images, found in scores["matched"].items()
        },
    }
