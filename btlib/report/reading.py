"""Reads the stages' outputs, once, into a Study."""

from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from btlib.core.runtime.artifacts import read_csv, read_json, sha256
from btlib.core.runtime.nested import flatten
from btlib.core.runtime.stage import TIMINGS
from btlib.core.settings.params import data_note
from btlib.core.settings.schema import Params, read_yaml
from btlib.report.figures.paper import HEADLINE, TABLES
from btlib.report.provenance import revision, timings
from btlib.report.study import Study, read_folder, read_tables

VOLUME_TEXT = ("case", "patient", "grade", "seg", "shape", "spacing")
FIGURES = (
    *("preprocess", "link", "train", "evaluate", "cross_validation", "gradcam", "ablations"),
    *("robustness", "shortcuts", "external"),
)


class Places(NamedTuple):
    """The paths of the stages' outputs."""

    metrics: Path
    tables: Path
    figures: Path
    corruptions: Path  # a picture of them
    lesions: Path  # a picture of pasted ones
    manifest: Path
    splits: Path
    volumes: Path  # their manifest
    volume_splits: Path
    classifier: Path  # its card
    joint: Path  # its card
    runs: Path  # recorded ones
    citation: Path


def read_study(params: Params, places: Places) -> Study:
    """All results of this run, and the papers' values; raises InputError if a file is missing or damaged."""
    figures = places.figures
    return Study(
        params=flatten(params),
        metrics=read_folder(places.metrics) | read_tables(places.tables),
        notes={"images": data_note(params.images.source), "volumes": data_note(params.volumes.source)},
        paper={"headline": HEADLINE, "tables": TABLES},
        volumes=read_csv(places.volumes, text=VOLUME_TEXT),
        pictures={
            **{name: figures / name for name in FIGURES},
            **{f"joint_{name}": figures / "joint" / name for name in ("evaluate", "explain")},
            "joint_ablation": figures / "ablations/joint",
            "corruptions": places.corruptions,
            "lesions": places.lesions,
        },
        cards={"classifier": read_json(places.classifier), "joint network": read_json(places.joint)},
        recorded=list(read_folder(places.runs).values()),
        facts=_facts(params, places),
        # Not a dependency: cached stages leave no time here, and times do not change results.
        timings={stage: record for stage, record in timings(TIMINGS).items() if stage != "report"},
        citation=read_yaml(places.citation),
    )


def _facts(params: Params, places: Places) -> dict[str, str]:
    hashed = {
        "images": places.manifest,
        "split of the images": places.splits,
        "volumes": places.volumes,
        "split of the volumes": places.volume_splits,
    }
    return {
        "made on": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "command": "dvc repro",
        "code revision": revision(Path.cwd()),
        "source of the images": params.images.source,
        "source of the volumes": params.volumes.source,
        "split by": params.split_by,
        "seed": str(params.seed),
        **{f"SHA-256, {name}": sha256(path) for name, path in hashed.items()},
    }
