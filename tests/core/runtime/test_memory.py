"""Freed memory stays in the process, measured by page faults."""

import ctypes
import platform
import subprocess
import sys
from types import SimpleNamespace

import pytest

from btlib.core.runtime.memory import keep_freed_memory

# Fills and frees 64 MiB repeatedly; prints the page faults of the last rounds.
ROUNDS = """
import resource
import numpy as np
{start}
def rounds(count):
    for _ in range(count):
        np.ones(64 * 2**17)
rounds(3)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
rounds(10)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def pages(start):
    done = subprocess.run([sys.executable, "-c", ROUNDS.format(start=start)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_freed_memory_is_reused():
    default = pages("")
    kept = pages("from btlib.core.runtime.memory import keep_freed_memory; keep_freed_memory()")
    assert default > 100 > kept  # with or without huge pages


@pytest.mark.parametrize("library", [SimpleNamespace(), OSError("no library by that name")], ids=["without", "none"])
def test_other_c_libraries_are_left_alone(library, monkeypatch):
    def find(name):
        if isinstance(library, Exception):
            raise library
        return library

    monkeypatch.setattr(ctypes, "CDLL", find)
    keep_freed_memory()
