"""The final output of `make repro`."""

import json
import shutil

from btlib.core.metrics import classification
from btlib.core.runtime.artifacts import write_json
from btlib.report.headlines import (
    changes,
    external_set,
    folds,
    headline,
    leaks,
    print_summary,
    stage_names,
    times,
)
from btlib.volumes.evaluation import metrics as joint
from tests.report.make import ROOT, metrics
from tests.sharing.make import commit, git


def test_headline_shows_score_and_interval():
    names = ("accuracy", "macro_f1", "roc_auc_macro", "ece")
    scores = dict.fromkeys(names, 0.9) | {"ci95": {name: [0.85, 0.951] for name in names}}
    lines = headline(scores, classification.METRICS, "on 60 test images, 6 of them wrong")
    assert lines[0] == "accuracy            0.9000  [0.8500, 0.9510]"
    assert len(lines) == 5
    assert lines[-1].startswith("on 60 test images, 6 of them wrong")


def test_headline_of_the_volumes_omits_undefined_scores():
    scores = dict.fromkeys(joint.METRICS, 0.8) | {"grade_auc": None}
    lines = headline(scores | {"ci95": {name: [0.7, 0.9] for name in joint.METRICS}}, joint.METRICS, "on 16 test cases")
    assert lines[0] == "Dice WT             0.8000  [0.7000, 0.9000]"
    assert len(lines) == len(joint.COMPARED)
    assert lines[-1] == "on 16 test cases; intervals: 95 %"


LEAKS = {
    "image": {"test": 66, "near_copy_any_orientation": 1, "same_patient": 33, "known_patient": 60},
    "folder": None,
    "near_copy": {"test": 66, "near_copy_any_orientation": 0, "same_patient": 30, "known_patient": 60},
    "group": {"test": 66, "near_copy_any_orientation": 0, "same_patient": 0, "known_patient": 0},
    "file": None,
}


def test_leaks_of_each_way_of_splitting_even_if_one_is_impossible():
    assert leaks({"leaks_by_split": LEAKS}) == [
        "by image: a near copy 1.5%, their patient 50.0% (patient known: 90.9%)",
        "by folder: not possible here",
        "near copies apart, patients ignored: a near copy 0.0%, their patient 45.5% (patient known: 90.9%)",
        "by group: a near copy 0.0%, patients unknown",
    ]


def test_a_set_from_another_hospital_with_undefined_scores():
    scores = {"sensitivity": 0.75, "specificity": 0.5, "auc": 0.8, "auc_within_patients": None}
    ends = {"sensitivity": [0.7, 0.8], "specificity": [0.4, 0.6], "auc": None, "auc_within_patients": None}
    reason = {"auc_within_patients": "no image's patient is known"}
    lines = external_set(scores | {"ci95": ends, "undefined": reason, "n": 40, "patients": 0})
    assert lines == [
        "sensitivity         0.7500  [0.7000, 0.8000]",
        "specificity         0.5000  [0.4000, 0.6000]",
        "AUC                 0.8000",
        "AUC within patients undefined: no image's patient is known",
        "on 40 images of unknown patients; intervals: 95 %",
    ]


def test_pooled_folds():
    part = {"accuracy": 0.9, "ci95": {"accuracy": [0.85, 0.95]}}
    assert folds({"folds": [{}], "pooled": part, "known_patients": None}) == [
        "accuracy, all images      0.9000  [0.8500, 0.9500]"
    ]
    assert len(folds({"folds": [{}], "pooled": part, "known_patients": part})) == 2
    assert folds({"folds": [], "pooled": None, "known_patients": None}) == []


def test_the_whole_summary_is_printed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, name)
    for name, found in metrics().items():
        write_json(tmp_path / f"metrics/{name}.json", found)
    print_summary()
    said = capsys.readouterr().out
    assert "split by group (leak-free: patients and near copies apart)" in said
    assert "Other hospitals: phantom_elsewhere\n  sensitivity         0.5000" in said
    assert "folds pooled" not in said
    assert "predict_external@0" in said


def test_changes_in_git_are_listed_with_how_to_keep_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert changes() == [], "no repository"
    (tmp_path / "metrics").mkdir()
    for name in ("dvc.lock", "params.yaml", "other", *(f"metrics/{n}.json" for n in "abcde")):
        (tmp_path / name).write_text("1")
    git(tmp_path, "init", "-q")
    commit(tmp_path, "start")
    assert changes() == []
    for name in ("dvc.lock", "other", "metrics/a.json"):
        (tmp_path / name).write_text("2")
    assert changes() == [
        "dvc.lock, metrics/a.json: your results, in place of the project's",
        'to keep them: git add params.yaml dvc.lock metrics && git commit -m "My run"',
    ]
    for n in "bcde":
        (tmp_path / f"metrics/{n}.json").write_text("2")
    assert changes()[0].startswith("dvc.lock, metrics/a.json, metrics/b.json and 3 more: your results")


def test_times_add_up_and_stages_that_did_not_run_are_named(tmp_path):
    for name, seconds in (("a", 1.5), ("b", 60.25)):
        (tmp_path / f"{name}.json").write_text(json.dumps({"seconds": seconds, "peak_gib": 1.25}))
    assert [line.split() for line in times(["a", "missing", "b"], tmp_path)] == [
        ["a", "1.5", "s", "peak", "1.2", "GiB"],
        ["missing", "not", "run", "here", "(taken", "from", "the", "cache)"],
        ["b", "60.2", "s", "peak", "1.2", "GiB"],
        ["all", "61.8", "s"],
    ]


def test_stages_with_items_count_once_per_item(tmp_path):
    (tmp_path / "dvc.yaml").write_text(
        "stages:\n  a:\n    cmd: x\n  b:\n    foreach: [one, two]\n    do:\n      cmd: y ${item}\n  c:\n    cmd: z\n"
    )
    assert stage_names(tmp_path / "dvc.yaml") == ["a", "b@one", "b@two", "c"]


def test_items_may_be_in_params_and_sections_are_numbered(tmp_path):
    (tmp_path / "dvc.yaml").write_text("stages:\n  a:\n    foreach: ${external}\n    do:\n      cmd: x\n")
    (tmp_path / "params.yaml").write_text("external:\n- name: one\n- name: two\n")
    assert stage_names(tmp_path / "dvc.yaml") == ["a@0", "a@1"]
    (tmp_path / "params.yaml").write_text("external: []\n")
    assert stage_names(tmp_path / "dvc.yaml") == []
