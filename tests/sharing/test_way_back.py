"""The way back from an experiment, as docs/pipeline.md gives it, loses nothing on a computer that rounds otherwise."""

import re

import pytest

from tests.sharing.make import FILES, ROOT, clone, commit, dvc, git, run, stages_run

STAGES = """
stages:
  train:
    cmd: python work.py train
    deps: [work.py]
    params: [mixup_alpha]
    outs: [models/net]
  evaluate:
    cmd: python work.py evaluate
    deps: [work.py, models/net]
    metrics:
    - metrics/scores.json: {cache: false}
"""
# A network whose last digits are the processor's
WORK = """
import json, os, re, sys
from pathlib import Path
if sys.argv[1] == "train":
    alpha = re.search(r"^mixup_alpha: ([0-9.]+)", Path("params.yaml").read_text(), re.M)[1]
    Path("models").mkdir(exist_ok=True)
    Path("models/net").write_text(f"{alpha} on {os.environ['PROCESSOR']}")
else:
    Path("metrics").mkdir(exist_ok=True)
    Path("metrics/scores.json").write_text(json.dumps({"net": Path("models/net").read_text()}))
"""
MINE = {"PROCESSOR": "mine"}


@pytest.fixture
def newcomer(tmp_path):
    """A clone of a project whose lock is of another processor, after `dvc repro` and an experiment there."""
    project = tmp_path / "project"
    for name in FILES:
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_bytes((ROOT / name).read_bytes())
    (project / "dvc.yaml").write_text(STAGES, encoding="utf-8")
    (project / "work.py").write_text(WORK, encoding="utf-8")
    git(project, "init", "-q", "-b", "main")
    commit(project, "start")
    dvc(project, "repro", PROCESSOR="theirs")
    commit(project, "ran")
    here = clone(project, "here")
    git(here, "config", "user.name", "t")
    git(here, "config", "user.email", "t@t.invalid")
    assert stages_run(dvc(here, "repro", **MINE)) == ["train", "evaluate"]
    return here


def content(project):
    return [(project / name).read_text() for name in ("models/net", "metrics/scores.json", "params.yaml", "dvc.lock")]


def way_back():
    """The command of docs/pipeline.md."""
    (command,) = re.findall(r"Back\nagain: `([^`]+)`", (ROOT / "docs/pipeline.md").read_text(encoding="utf-8"))
    return command


@pytest.mark.parametrize("committed", [True, False])
def test_the_way_back_brings_everything_and_trains_nothing(committed, newcomer):
    before = content(newcomer)
    assert before[0] == "0.1 on mine"
    if committed:
        (command,) = re.findall(r"`(git add params[^`]+)`", (ROOT / "docs/pipeline.md").read_text(encoding="utf-8"))
        run(newcomer, "sh", "-c", command)
        assert git(newcomer, "status", "--porcelain") == ""
    dvc(newcomer, "exp", "run", "-n", "bold", "-S", "mixup_alpha=0.4", **MINE)
    after = content(newcomer)
    assert after[0] == "0.4 on mine"
    assert stages_run(run(newcomer, "sh", "-c", way_back(), **MINE).stdout) == []
    assert content(newcomer) == before
    dvc(newcomer, "exp", "apply", "bold")
    assert content(newcomer) == after
    run(newcomer, "sh", "-c", way_back(), **MINE)
    assert content(newcomer) == before
