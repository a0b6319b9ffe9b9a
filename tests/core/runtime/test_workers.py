"""Calls in processes: in order, in the caller's folder."""

from pathlib import Path

from btlib.core.runtime.workers import FEW, in_parallel


def test_reused_process_works_in_the_callers_folder(tmp_path, monkeypatch):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        found = list(in_parallel(Path.resolve, [Path(str(number)) for number in range(2 * FEW)], "test", batch=1))
        assert found == [tmp_path / name / str(number) for number in range(2 * FEW)]
