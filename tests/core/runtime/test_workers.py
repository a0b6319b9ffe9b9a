"""Calls in processes: in order, in the caller's folder."""

from pathlib import Path

import pytest

from btlib.core.runtime.errors import InputError
from btlib.core.runtime.workers import FEW, in_parallel, make_fabric


def test_reused_process_works_in_the_callers_folder(tmp_path, monkeypatch):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        found = list(in_parallel(Path.resolve, [Path(str(number)) for number in range(2 * FEW)], "test", batch=1))
        assert found == [tmp_path / name / str(number) for number in range(2 * FEW)]


def test_as_many_processes_train_as_torchrun_starts(monkeypatch):
    monkeypatch.setenv("GROUP_WORLD_SIZE", "2")
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(InputError, match=r"training.devices: 2, but torchrun has started 4 processes"):
        make_fabric(2, "fp32")
