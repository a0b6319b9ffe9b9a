"""The stage with the committed parameters and scores."""

import importlib.util
import shutil
from pathlib import Path

import pytest

from btlib.core.runtime.artifacts import write_csv, write_json
from btlib.report import reading
from tests.report.make import ENVIRONMENT, SCORE_TABLES, metrics, study, volumes

ROOT = Path(__file__).parents[2]


@pytest.fixture
def stage(monkeypatch):
    spec = importlib.util.spec_from_file_location("report_stage", ROOT / "stages/report.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.chdir(ROOT)
    return module


def test_the_stage_writes_the_page(stage, tmp_path, monkeypatch):
    study(tmp_path / "figures")  # for its figures
    for name in ("classifier", "joint"):
        write_json(tmp_path / f"{name}.json", {"environment": ENVIRONMENT})
    for name in ("manifest", "splits", "volume_splits"):
        (tmp_path / f"{name}.csv").write_text(name, encoding="utf-8")
    write_csv(tmp_path / "volumes.csv", volumes())
    for name, found in metrics().items():
        write_json(tmp_path / f"metrics/{name}.json", found)
    for place in ("link/links", "cross_validation/folds"):
        (tmp_path / f"figures/{place}.png").parent.mkdir()
        shutil.copyfile(tmp_path / "figures/evaluate/roc.png", tmp_path / f"figures/{place}.png")
    for name in ("report", "evaluate"):
        write_json(tmp_path / f"timings/{name}.json", {"seconds": 61.5, "peak_gib": 1.0})
    monkeypatch.setattr(reading, "TIMINGS", tmp_path / "timings")
    stage.main(
        params=ROOT / "params.yaml",
        metrics=tmp_path / "metrics",
        tables=SCORE_TABLES,
        figures=tmp_path / "figures",
        corruptions=tmp_path / "corruptions.png",
        lesions=tmp_path / "lesions.png",
        manifest=tmp_path / "manifest.csv",
        splits=tmp_path / "splits.csv",
        volumes=tmp_path / "volumes.csv",
        volume_splits=tmp_path / "volume_splits.csv",
        classifier=tmp_path / "classifier.json",
        joint=tmp_path / "joint.json",
        runs=ROOT / "docs/runs",
        citation=ROOT / "CITATION.cff",
        html=tmp_path / "report.html",
        markdown=tmp_path / "report.md",
    )
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "05b3abf2579a5eb66403cd78be557fd860633a1fe2103c7642030defe32c657f" in text  # printf manifest | sha256sum
    assert (tmp_path / "report.md").read_text(encoding="utf-8").startswith("# Report")
    assert "Time of each stage: 62 s over 1 stages" in text  # not its own
    assert "btlib: trustworthy studies of brain-tumour MRI, version" in text
    assert text.count("data:image/webp") == 12  # the study's, the links, the ladder; without folds no figure of them
