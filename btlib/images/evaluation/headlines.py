"""Headline numbers of the 2D study for metrics/; all others go to data/tables/, with levels as columns."""

from collections.abc import Mapping
from typing import Any

from btlib.core.metrics.headlines import arm_rows

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
    """The `arm_rows` of a table from `ablation.ablation_table`, with the seeds' accuracies."""
    return {"rows": arm_rows(table["rows"], "accuracy", ABLATION_SCORES)}


def robustness_headline(scores: Mapping[str, Any]) -> dict[str, Any]:
    """Each model's clean accuracy, and its accuracy, drop and ECE over all corruptions."""
    models = {
        name: {"clean": found["clean"]["accuracy"], **{key: found[key] for key in ("mca", "drop", "mean_ece")}}
        for name, found in scores["models"].items()
    }
    return {**scores, "models": models}


def shortcut_headline(scores: Mapping[str, Any]) -> dict[str, Any]:
    """Accuracy by view, shares called a tumour by pasted lesion and contrast, and scores of matched images."""
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
