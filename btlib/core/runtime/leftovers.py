"""Removes leftovers of killed processes: half-written outputs, and shared memory of joblib's workers."""

import os
import re
import shutil
from contextlib import suppress
from pathlib import Path
from tempfile import gettempdir

import psutil

from btlib.core.runtime.artifacts import is_left_behind

PLACES = ("data", "models", "metrics", ".btlib")  # where stages write
SHARED_MEMORY = Path("/dev/shm")
OF_JOBLIB = re.compile(r"(joblib_memmapping_folder_|sem\.loky-)(?P<process>\d+)[_-].*")


def sweep() -> None:
    """Removes leftovers of dead processes in the current project and in shared memory."""
    for place in PLACES:
        for folder, names, _ in os.walk(place):
            for name in [name for name in names if name.endswith(".partial")]:
                names.remove(name)
                if is_left_behind(Path(folder, name)):
                    shutil.rmtree(Path(folder, name), ignore_errors=True)
    sweep_shared_memory()


def sweep_shared_memory(ended: int | None = None) -> None:
    """Removes joblib's folders and semaphores of dead processes, and of the process `ended`."""
    for place in {SHARED_MEMORY, Path(gettempdir())}:
        for path in place.glob("*"):
            found = OF_JOBLIB.fullmatch(path.name)
            if found and (int(found["process"]) == ended or not psutil.pid_exists(int(found["process"]))):
                _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):  # owned by another user, or already gone
            path.unlink()
