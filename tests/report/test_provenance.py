"""Provenance of a run, in a real repository and without one."""

import subprocess

import pytest

from btlib.core.runtime.artifacts import sha256, write_json
from btlib.report.provenance import revision, timings


@pytest.fixture
def repository(tmp_path):
    (tmp_path / "btlib").mkdir()
    (tmp_path / "btlib/a.py").write_text("A = 1\n", encoding="utf-8")
    (tmp_path / "notes.md").write_text("x\n", encoding="utf-8")
    for command in ("init -q", "add -A", "-c user.name=t -c user.email=t@t.invalid commit -qm x"):
        subprocess.run(["git", *command.split()], cwd=tmp_path, check=True)
    return tmp_path


def head(folder):
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_the_revision_is_the_commit(repository):
    assert revision(repository) == head(repository)
    (repository / "notes.md").write_text("y\n", encoding="utf-8")  # not code
    assert revision(repository) == head(repository)


@pytest.mark.parametrize("name", ["btlib/a.py", "btlib/new.py", "params.yaml"])
def test_changed_and_new_code_is_reported(repository, name):
    (repository / name).write_text("A = 2\n", encoding="utf-8")
    assert revision(repository) == f"{head(repository)}, with uncommitted changes"


def test_without_a_repository_or_git_it_is_unknown(tmp_path, repository, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "absent"))
    assert revision(tmp_path) == "unknown"
    monkeypatch.delenv("GIT_DIR")
    monkeypatch.setenv("PATH", "")
    assert revision(repository) == "unknown"


def test_sha256(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")  # from FIPS 180-2
    assert sha256(tmp_path / "x") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_the_longest_stage_comes_first(tmp_path):
    assert timings(tmp_path / "absent") == {}
    for name, seconds in (("a", 1.0), ("b@c", 5.0), ("d", 2.0)):
        write_json(tmp_path / f"{name}.json", {"seconds": seconds, "peak_gib": 1.0})
    assert list(timings(tmp_path)) == ["b@c", "d", "a"]
