"""Leftovers of dead processes are removed, files of running ones kept."""

import os
import subprocess

import pytest

from btlib.core.runtime import leftovers


@pytest.fixture
def dead():
    """Process id of a process that has ended."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


@pytest.fixture
def memory(tmp_path, monkeypatch):
    """A folder in place of /dev/shm."""
    folder = tmp_path / "shm"
    folder.mkdir()
    monkeypatch.setattr(leftovers, "SHARED_MEMORY", folder)
    monkeypatch.setattr(leftovers, "gettempdir", lambda: str(folder))
    return folder


def test_only_half_written_outputs_are_removed(dead, memory, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    left = [f"data/.splits.csv.{dead}.partial", f"models/joint/.card.json.{dead}.partial", "data/deep/down/.x.partial"]
    left.append(f".btlib/resume/stage2/.0a1b.safetensors.{dead}.partial")
    kept = [f"data/.x.csv.{os.getpid()}.partial", "data/x.partial", "data/.partial", f"elsewhere/.y.{dead}.partial"]
    for name in left + kept:
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "file").write_text("half")
    (tmp_path / "data/whole.csv").write_text("a")
    leftovers.sweep()
    assert [name for name in left if (tmp_path / name).exists()] == []
    assert [name for name in kept if not (tmp_path / name / "file").exists()] == []
    assert (tmp_path / "data/whole.csv").exists()


def test_shared_memory_of_dead_processes_is_removed(dead, memory, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = os.getpid()
    for number in (dead, own):
        (memory / f"joblib_memmapping_folder_{number}_0a1b_2c3d").mkdir()
        (memory / f"joblib_memmapping_folder_{number}_0a1b_2c3d/array.pkl").write_bytes(b"a")
        (memory / f"sem.loky-{number}-x_y").write_bytes(b"a")
    (memory / f"other_{dead}").write_bytes(b"a")
    leftovers.sweep()
    names = {f"joblib_memmapping_folder_{own}_0a1b_2c3d", f"sem.loky-{own}-x_y", f"other_{dead}"}
    assert {path.name for path in memory.iterdir()} == names
    leftovers.sweep_shared_memory(ended=own)
    assert {path.name for path in memory.iterdir()} == {f"other_{dead}"}
