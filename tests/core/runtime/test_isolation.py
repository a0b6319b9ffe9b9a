"""Work that may crash its process: results in order, and a reason for every lost item."""

import ctypes
import os
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pytest

from btlib.core.runtime import isolation
from btlib.core.runtime.isolation import Lost, in_isolation


def _harm(item):
    if item == "crash":
        ctypes.string_at(0)
    if item == "hang":
        time.sleep(60)
    if item == "memory":
        return int(np.ones(2**31, np.uint8).sum())
    if item == "exit":
        os._exit(0)
    if item == "bug":
        raise KeyError("ours")
    return f"did {item}"


@pytest.mark.parametrize("batch", [1, 4])
def test_only_harmful_items_are_lost(batch):
    items = ["a", "crash", "b", "hang", "c", "memory", "exit", "d"]
    found = list(in_isolation(_harm, items, "test", batch=batch, seconds=3, gib=1))
    lost = {item: one.reason for item, one in zip(items, found, strict=True) if isinstance(one, Lost)}
    assert [one for one in found if not isinstance(one, Lost)] == ["did a", "did b", "did c", "did d"]
    assert lost.keys() == {"crash", "hang", "memory", "exit"}
    assert "3 s" in lost["hang"] and "1 GiB" in lost["memory"] and "crashed" in lost["crash"]


def test_bug_is_raised_to_the_caller():
    with pytest.raises(KeyError, match="ours"):
        list(in_isolation(_harm, ["a", "bug"], "test"))


def test_relative_paths_use_the_callers_folder(tmp_path, monkeypatch):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        assert list(in_isolation(Path.resolve, [Path("x")], "test")) == [tmp_path / name / "x"]


def test_no_items():
    assert list(in_isolation(_harm, [], "test")) == []


def test_a_pool_that_breaks_down_is_replaced(monkeypatch):
    """As happens when pebble misses which task a crashed process had."""
    pools = []

    def fragile(function, items, *limits):
        pools.append(items)
        if len(pools) < 5:
            yield from map(function, items[:1] if len(pools) == 1 else [])
            raise BrokenProcessPool
        yield from map(function, items)

    monkeypatch.setattr(isolation, "_in_pool", fragile)
    found = list(in_isolation(_harm, ["a", "fatal", "c"], "test"))
    assert found == ["did a", isolation.CRASHED, "did c"] and pools[-1] == ["c"]
