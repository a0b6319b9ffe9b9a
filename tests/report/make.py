"""A study to make pages of: the committed scores of the demo, with tiny figures and cards."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
from PIL import Image

from btlib.nested import flatten
from btlib.paper import HEADLINE, TABLES
from btlib.report.study import Study, read_folder
from btlib.schema import read_params

ROOT = Path(__file__).parents[2]
FIGURES = (
    "preprocess/fig2_preprocessing.png",
    "evaluate/roc.png",
    "evaluate/classification.png",
    "gradcam/glioma.png",
    "ablations/fusion/forest.png",
    "robustness/accuracy.png",
    "shortcuts/shortcuts.png",
    "joint/evaluate/grade.png",
    "joint/explain/case_1.png",
)
PLACES = ("preprocess", "train", "evaluate", "gradcam", "ablations", "robustness", "shortcuts", "stage1", "stage2")
JOINT_PLACES = {
    "joint_evaluate": "joint/evaluate",
    "joint_explain": "joint/explain",
    "joint_ablation": "ablations/joint",
    "joint_curves": "curves/joint",
    "corruptions": "corruptions.png",
    "lesions": "lesions.png",
}
ENVIRONMENT = {"python": "3.11", "torch": "2.0"}


def volumes() -> pd.DataFrame:
    """Three cases of two patients."""
    return pd.DataFrame(
        {
            "case": ["a", "b", "c"],
            "patient": ["p", "p", "q"],
            "grade": ["LGG", "LGG", ""],
            "seg": ["a_seg.nii", "", ""],
            "shape": ["4x4x4", "4x4x4", "5x4x4"],
            "spacing": ["1.000x1.000x1.000"] * 3,
        }
    )


def study(folder: Path, **changes) -> Study:
    """Of the committed demo; `changes` replace fields."""
    for name in FIGURES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30), "white").save(folder / name)
    made = Study(
        params=flatten(read_params(ROOT / "params.yaml")),
        metrics=read_folder(ROOT / "metrics"),
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
    """The metrics with other values in one file."""
    return metrics | {name: metrics[name] | changes}
