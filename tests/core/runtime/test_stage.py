"""The stage runner, through real processes: messages, exit codes, the record of time and memory."""

import json
import re
import subprocess
import sys

import pytest

SCRIPT = '''"""Stage demo: a test."""

from pathlib import Path

from btlib.core.runtime.errors import InputError
from btlib.core.runtime.stage import run


def main(manifest: Path, out_folder: Path) -> None:
    {body}


if __name__ == "__main__":
    run(main)
'''


@pytest.fixture
def stage(tmp_path, monkeypatch):
    def call(body, *options):
        (tmp_path / "demo.py").write_text(SCRIPT.format(body=body), encoding="utf-8")
        return subprocess.run([sys.executable, "demo.py", *options], cwd=tmp_path, capture_output=True, text=True)

    monkeypatch.delenv("DVC_STAGE", raising=False)

    return call


def test_stages_sharing_a_script_have_separate_records(stage, tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_STAGE", "demo@fusion")
    assert stage("pass", *PATHS).returncode == 0
    assert [path.name for path in (tmp_path / ".btlib/timings").iterdir()] == ["demo@fusion.json"]


PATHS = ("--manifest", "a b.csv", "--out-folder", "out")


def test_paths_are_passed_and_time_and_memory_recorded(stage, tmp_path):
    done = stage("assert manifest == Path('a b.csv'); out_folder.mkdir()", *PATHS)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out").is_dir()
    record = json.loads((tmp_path / ".btlib/timings/demo.json").read_text())
    assert 0 <= record["seconds"] < 60
    assert 0 < record["peak_gib"] < 4
    assert done.stdout.startswith("demo: ")


def test_input_error_is_one_message_and_exit_code_1(stage, tmp_path):
    done = stage("raise InputError('a.csv: 3 columns; expected 4')", *PATHS)
    assert done.returncode == 1
    assert done.stderr.strip() == "demo: a.csv: 3 columns; expected 4"
    assert not (tmp_path / ".btlib").exists()


def test_unwritable_folder_is_one_message(stage, tmp_path):
    (tmp_path / ".btlib").write_text("a file where the record should go")
    done = stage("pass", *PATHS)
    assert done.returncode == 1
    assert re.fullmatch(
        r"\ndemo: \.btlib/timings/demo\.json: cannot be written \(Not a directory\); .*\n\n", done.stderr
    )


@pytest.mark.parametrize("number", ["EACCES", "EROFS", "ENOSPC"])
def test_file_system_refusals_are_not_bugs(number, stage):
    done = stage(f"import errno; raise OSError(errno.{number}, 'no', 'data/curves')", *PATHS)
    assert (done.returncode, done.stderr) == (1, "\ndemo: data/curves: no\n\n")


def test_leftovers_of_killed_stages_are_removed_first(stage, tmp_path):
    (tmp_path / "data/.splits.csv.partial").mkdir(parents=True)
    done = stage("assert not list(Path('data').iterdir())", *PATHS)
    assert done.returncode == 0, done.stderr


def test_a_bug_shows_its_traceback(stage, tmp_path):
    done = stage("raise KeyError('label')", *PATHS)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "KeyError: 'label'" in done.stderr
    assert not (tmp_path / ".btlib").exists()


def test_a_missing_path_is_named(stage):
    done = stage("pass", "--manifest", "a.csv")
    assert done.returncode == 2
    assert "--out-folder" in done.stderr
