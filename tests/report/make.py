"""A study to render pages from: the committed scores of the demo, with tiny figures and cards."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
from PIL import Image

from btlib.core.runtime.nested import flatten
from btlib.core.settings.schema import read_params
from btlib.report.figures.paper import HEADLINE, TABLES
from btlib.report.scores import SCORES
from btlib.report.study import Study, read_folder, read_tables

ROOT = Path(__file__).parents[2]
FIGURES = (
    "preprocess/fig2_preprocessing.png",
    "evaluate/roc.png",
    "evaluate/classification.png",
    "external/external.png",
    "gradcam/glioma.png",
    "ablations/fusion/forest.png",
    "robustness/accuracy.png",
    "shortcuts/shortcuts.png",
    "joint/evaluate/grade.png",
    "joint/explain/case_1.png",
)
PLACES = (
    *("preprocess", "train", "evaluate", "gradcam", "ablations", "robustness", "shortcuts"),
    *("link", "cross_validation", "external"),
)
JOINT_PLACES = {
    "joint_evaluate": "joint/evaluate",
    "joint_explain": "joint/explain",
    "joint_ablation": "ablations/joint",
    "corruptions": "corruptions.png",
    "lesions": "lesions.png",
}
SCORE_TABLES = Path(__file__).parent / "scores"  # data/tables/ of a run of the demo
ENVIRONMENT = {"python": "3.11", "torch": "2.0"}


EXTERNAL_SCORES = (
    *("sensitivity", "specificity", "auc", "auc_within_patients"),
    *("accuracy", "macro_f1", "unsure", "unfamiliar"),
)


def leaks(test: int, near_copy: int, near_turned: int, same_slice: int, same_patient: int, known: int) -> dict:
    """The entry of one kind of split in metrics/audit.json."""
    return {
        "test": test,
        "near_copy": near_copy,
        "near_copy_any_orientation": near_turned,
        "same_slice": same_slice,
        "same_patient": same_patient,
        "known_patient": known,
    }


AUDIT = {
    "images": 652,
    "patients": 320,
    "images_without_patient": 0,
    "linked_images": 0,
    "leaks_by_split": {
        "image": leaks(66, 1, 2, 0, 33, 66),
        "folder": None,
        "near_copy": leaks(66, 0, 0, 0, 30, 66),
        "group": leaks(66, 0, 0, 0, 0, 66),
        "file": None,
    },
}
NO_FOLDS = {"folds": [], "mean": None, "sd": None, "pooled": None, "known_patients": None}


def folds() -> dict:
    """As in metrics/cross_validation.json: two folds of 50 images each, 80 of them of 20 known patients."""
    names = list(SCORES)
    sizes = {"n_test": 50, "n_groups": 25, "n_patients": 10}
    rows = [
        {"fold": k, **dict.fromkeys(names, value), "temperature": 1.5, **sizes, "errors": errors}
        for k, (value, errors) in enumerate([(0.9, 5), (0.8, 10)])
    ]
    pooled = dict.fromkeys(names, 0.85) | {"ci95": {name: [0.75, 0.95] for name in names}, "per_class": {}}
    return {
        "folds": rows,
        "mean": dict.fromkeys(names, 0.85),
        "sd": dict.fromkeys(names, 0.0707),
        "pooled": pooled | {"n_test": 100, "n_groups": 50, "n_patients": 20, "errors": 15},
        "known_patients": {
            "images": 80,
            "patients": 20,
            "errors": 16,
            "accuracy": 0.8,
            "ci95": {"accuracy": [0.7, 0.9]},
        },
    }


def external_scores(within=0.8, ends=(0.7, 0.9), patients=20, **changes) -> dict:
    """The scores of one set in metrics/external.json; None means undefined."""
    values = dict.fromkeys(EXTERNAL_SCORES, 0.5) | {"auc_within_patients": within} | changes
    ci95 = {name: None if value is None else [0.4, 0.6] for name, value in values.items()}
    ci95["auc_within_patients"] = list(ends) if ends else None
    undefined = {name: "no patient is known" for name, value in values.items() if value is None}
    counts = {"n": 50, "n_tumour": 20, "n_none": 30, "patients": 25, "patients_with_both": patients}
    return {**counts, **values, "ci95": ci95, "undefined": undefined}


def metrics() -> dict:
    """The committed metrics, with the parts that tests read replaced by fixed values."""
    found = read_folder(ROOT / "metrics") | read_tables(SCORE_TABLES)
    return found | {
        "audit": found["audit"] | AUDIT,
        "cross_validation": NO_FOLDS,
        "external": {"sets": {"phantom_elsewhere": external_scores()}},
    }


def volumes() -> pd.DataFrame:
    """Three cases of two patients."""
    return pd.DataFrame(
        {
            "case": ["a", "b", "c"],
            "patient": ["p", "p", "q"],
            "grade": ["LGG", "LGG", ""],
            "seg": ["a_seg.nii", "", ""],
            "labels": ["brats", "", ""],
            "shape": ["4x4x4", "4x4x4", "5x4x4"],
            "spacing": ["1.000x1.000x1.000"] * 3,
        }
    )


def study(folder: Path, **changes) -> Study:
    """The study of the committed demo; `changes` replace fields."""
    for name in FIGURES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30), "white").save(folder / name)
    made = Study(
        params=flatten(read_params(ROOT / "params.yaml")),
        metrics=metrics(),
        notes={"images": "phantom data", "volumes": "phantom data"},
        paper={"headline": HEADLINE, "tables": TABLES},
        volumes=volumes(),
        pictures={name: folder / name for name in PLACES} | {k: folder / v for k, v in JOINT_PLACES.items()},
        cards={"classifier": {"environment": ENVIRONMENT}, "joint network": {"environment": ENVIRONMENT}},
        recorded=list(read_folder(ROOT / "docs/runs").values()),
        facts={"code revision": "abc"},
        timings={"train": {"seconds": 3.0, "peak_gib": 1.0}, "split": {"seconds": 1.0, "peak_gib": 0.5}},
        citation={"title": "btlib", "version": "1", "license": "Apache-2.0", "references": [{"title": "A paper"}]},
    )
    return replace(made, **changes)


def edited(metrics: dict, name: str, **changes) -> dict:
    """The metrics with changed values in one file."""
    return metrics | {name: metrics[name] | changes}
