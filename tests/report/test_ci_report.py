"""The report of `make ci-report`: a real run in a project of two fast stages, and its parts by hand."""

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest

from btlib.core.runtime.errors import InputError
from btlib.report.ci import (
    PICTURES,
    SHOWN_ROWS,
    Score,
    change_lines,
    default_base,
    folded,
    reproduce,
    resolve,
    score_table,
    scores,
)
from tests.sharing.make import FILES, ROOT, commit, dvc, git, run, set_params

STAGES = """
stages:
  evaluate:
    cmd: python work.py evaluate
    deps: [work.py]
    params: [mixup_alpha]
    outs: [data/figures/evaluate, data/figures/train]
    metrics:
    - metrics/classification.json: {cache: false}
  gradcam:
    cmd: python work.py gradcam
    deps: [work.py, data/figures/evaluate]
    metrics:
    - metrics/gradcam.json: {cache: false}
"""
# With alpha 0.2 and 0.4: accuracy 0.7 and 0.8, ECE 0.1 and 0.3, kappa 0.5 and 0.5
WORK = """
import json, re, sys
from pathlib import Path
alpha = float(re.search(r"^mixup_alpha: ([0-9.]+)", Path("params.yaml").read_text(), re.M)[1])
def write(path, content):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(content)
if sys.argv[1] == "evaluate":
    ci95 = {"accuracy": [0.6, 0.85], "ece": [0.05, 0.15], "kappa": [0.4, 0.6]}
    scores = {"accuracy": 0.6 + alpha / 2, "ece": alpha - 0.1, "kappa": 0.5, "n_test": 72, "ci95": ci95}
    write("metrics/classification.json", json.dumps(scores))
    for name in ("classification", "roc", "calibration"):
        write(f"data/figures/evaluate/{name}.png", f"{name} {alpha}")
    write("data/figures/train/fig9_stage2.png", f"curves {alpha}")
else:
    maps = {"fused": {"all": {"pointing_hit": 0.25, "ci95": {"pointing_hit": [0.1, 0.4]}}}}
    write("metrics/gradcam.json", json.dumps({"maps": maps}))
"""


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """An empty project under git, as the working directory."""
    root = tmp_path / "project"
    for name in FILES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes((ROOT / name).read_bytes())
    git(root, "init", "-q", "-b", "main")
    commit(root, "start")
    monkeypatch.chdir(root)
    return root


def report(project, *arguments, ok=True):
    return run(project, "python", "-m", "btlib.cli", "ci-report", *arguments, ok=ok, PYTHONPATH=str(ROOT)).stdout


def test_the_report_of_a_changed_parameter(repository):
    (repository / "dvc.yaml").write_text(STAGES, encoding="utf-8")
    (repository / "work.py").write_text(WORK, encoding="utf-8")
    set_params(repository, mixup_alpha=0.2)
    dvc(repository, "repro", "evaluate")
    commit(repository, "base")  # without metrics/gradcam.json yet
    base = git(repository, "rev-parse", "--short", "HEAD").strip()
    set_params(repository, mixup_alpha=0.4)
    assert report(repository).splitlines()[-1] == f"ci-report/report.md: compared with {base}"

    folder = repository / "ci-report"
    text = (folder / "report.md").read_text(encoding="utf-8")
    lines = text.splitlines()
    assert "Test scores on phantom images (a demo: says nothing about patients)." in text
    assert f"- Differs from `{base}` in code and parameters: `params.yaml`" in lines
    assert "- Stages that ran here: `evaluate`, `gradcam`" in lines
    head = lines.index(f"| score | {base} | now | change | 95 % interval of {base} | new value |")
    assert lines[head + 2 : head + 6] == [
        "| ece | 0.1000 | 0.3000 | +0.2000 | [0.0500, 0.1500] | **worse** |",
        "| accuracy | 0.7000 | 0.8000 | +0.1000 | [0.6000, 0.8500] | inside |",
        "| pointing_hit | – | 0.2500 | – | – | new |",
        "| kappa | 0.5000 | 0.5000 | +0.0000 | [0.4000, 0.6000] | unchanged |",
    ]
    (parameter,) = [line for line in lines if line.startswith("| params.yaml | mixup_alpha |")]
    assert [cell.strip() for cell in parameter.split("|")[3:5]] == ["0.2", "0.4"]

    full = (folder / "metrics_diff.md").read_text(encoding="utf-8")
    assert all(line in text for line in full.splitlines())
    (row,) = [line for line in full.splitlines() if "| accuracy " in line]
    assert [cell.strip() for cell in row.split("|")[3:6]] == ["0.7", "0.8", "0.1"]

    assert (folder / "confusion.png").read_bytes() == b"classification 0.4"
    for name, (title, path) in PICTURES.items():
        shown = f"![{title}]({name}.png)" in text
        assert shown == path.is_file() == (folder / f"{name}.png").is_file()
    assert "Not available: `data/figures/train/fig8_stage1.png` does not exist." in lines

    commit(repository, "change")
    assert f"compared with {base}" in report(repository), "by default HEAD~1, once all is committed"
    text = (folder / "report.md").read_text(encoding="utf-8")
    assert "- Stages that ran here: none, all results were available" in text


def test_a_stage_that_fails_and_an_unknown_base_give_one_message(repository):
    (repository / "dvc.yaml").write_text(STAGES, encoding="utf-8")
    (repository / "work.py").write_text("raise SystemExit('broken')", encoding="utf-8")
    commit(repository, "broken")
    output = report(repository, ok=False)
    assert output.strip().endswith("dvc repro evaluate gradcam failed, so there is nothing to report")
    assert not (repository / "ci-report").exists()
    assert report(repository, "--base", "v9", ok=False).strip().startswith("btlib: v9: no such git revision here")


def test_the_default_base_is_where_the_branch_left_main(repository):
    def head():
        return git(repository, "rev-parse", "HEAD").strip()

    def commit_nothing(message):
        git(repository, "commit", "-qm", message, "--allow-empty")

    assert default_base() == "HEAD", "the very first commit"
    commit_nothing("one")
    assert default_base() == "HEAD~1"
    fork = head()
    git(repository, "checkout", "-qb", "feature")
    commit_nothing("of the branch")
    git(repository, "checkout", "-q", "main")
    commit_nothing("of main")
    git(repository, "update-ref", "refs/remotes/origin/main", head())
    assert default_base() == "HEAD~1", "on main itself"
    (repository / "params.yaml").write_text("changed", encoding="utf-8")
    assert default_base() == "HEAD"
    git(repository, "checkout", "-q", "params.yaml")
    git(repository, "checkout", "-q", "feature")
    assert default_base() == fork, "later commits on main do not belong to this branch"


@pytest.mark.parametrize("revision", ["v9", "--help", "$(touch owned)", ""])
def test_a_base_that_is_not_a_revision_is_refused(repository, revision):
    with pytest.raises(InputError, match="no such git revision here; fetch the whole history"):
        resolve(revision)
    assert not (repository / "owned").exists()


@pytest.mark.parametrize(
    ("score", "verdict"),
    [
        (Score("a", 0.5, 0.6, (0.4, 0.6)), "inside"),
        (Score("a", 0.5, 0.601, (0.4, 0.6)), "**outside**"),
        (Score("a", 0.5, 0.399, (0.4, 0.6)), "**outside**"),
        (Score("ece", 0.5, 0.399, (0.4, 0.6)), "**better**"),
        (Score("accuracy", 0.5, 0.399, (0.4, 0.6)), "**worse**"),
        (Score("dice", 0.5, 0.601, (0.4, 0.6)), "**better**"),
        (Score("dice_median", 0.5, 0.399, (0.4, 0.6)), "**worse**"),
        (Score("false_outlines", 0.5, 0.601, (0.4, 0.6)), "**worse**"),
        (Score("a", 0.5, 0.5, (0.4, 0.6)), "unchanged"),
        (Score("a", 0.1 + 0.2, 0.3, (0.2, 0.4)), "unchanged"),
        (Score("a", 0.5, 0.6, None), "changed"),
        (Score("a", None, 0.5, None), "new"),
        (Score("a", 0.5, None, (0.4, 0.6)), "gone"),
    ],
)
def test_verdicts(score, verdict):
    assert score.verdict == verdict


def test_rows_with_the_same_verdict_keep_their_order():
    rows = [Score("b", 0.5, 0.5, (0, 1)), Score("c", 0.5, 0.4, (0, 1)), Score("a", 0.5, 0.6, (0, 1))]
    assert [cells[0] for cells in score_table("main", rows).rows[:3]] == ["c", "a", "b"]


def test_scores_of_a_base_without_metrics_are_new(repository):
    (repository / "metrics").mkdir()
    (repository / "metrics/classification.json").write_text('{"accuracy": 0.5, "ci95": {"accuracy": [0.4, 0.6]}}')
    assert scores("HEAD") == [Score("accuracy", None, 0.5, None)]


def test_outlines_of_a_lesion_map_are_scored_and_undefined_scores_left_out(repository):
    (repository / "metrics").mkdir()
    ends = {"dice": [0.4, 0.6], "false_outlines": None}
    outline = {"dice": 0.5, "false_outlines": None, "ci95": ends, "false_outlines_ci95_exact": None}
    heat = {"all": {"pointing_hit": None, "ci95": None}}  # no masks
    path = repository / "metrics/gradcam.json"
    path.write_text(json.dumps({"maps": {"fused": heat}, "lesion_outline": {"all": outline}}))
    assert scores("HEAD") == [Score("dice", None, 0.5, None)]
    commit(repository, "base")
    path.write_text(json.dumps({"maps": {"fused": heat}, "lesion_outline": {"all": outline | {"dice": 0.7}}}))
    (score,) = scores("HEAD")
    assert score == Score("dice", 0.5, 0.7, [0.4, 0.6]) and score.verdict == "**better**"


def test_differences_without_changes_are_attributed_to_this_machine():
    last = change_lines("main", [], ["phantom"]).splitlines()[-1]
    assert last.endswith("any differences below come from this machine.")
    assert "this machine" not in change_lines("main", ["params.yaml"], ["phantom"])
    assert "this machine" not in change_lines("main", [], [])


def test_many_changed_files_are_counted():
    names = [f"btlib/{number}.py" for number in range(12)]
    assert change_lines("main", names, []).splitlines()[0].endswith(", `btlib/9.py` and 2 more")


def test_a_long_table_is_cut_to_what_a_comment_holds():
    table = "\n".join(["| Path |", "|---|", *(f"| row {n} |" for n in range(SHOWN_ROWS + 7))])
    text = folded(table)
    assert f"| row {SHOWN_ROWS - 1} |" in text
    assert f"| row {SHOWN_ROWS} |" not in text
    assert "… and 7 more rows in metrics_diff.md" in text
    assert folded("") == "None."


def test_output_of_a_run_is_shown_while_it_runs(monkeypatch, capfd):
    """Stage names come only from DVC's own lines, not from the output of a stage."""
    said = "Running stage 'a':\n> python\nwe say Running stage 'b'\nStage 'c' didn't change, skipping\n"
    command = [sys.executable, "-c", f"print({said!r}, end='')"]
    real = subprocess.Popen
    monkeypatch.setattr(
        "btlib.report.ci.subprocess",
        SimpleNamespace(Popen=lambda _, **options: real(command, **options), PIPE=subprocess.PIPE),
    )
    assert reproduce(["a"]) == ["a"]
    assert capfd.readouterr().out == said
