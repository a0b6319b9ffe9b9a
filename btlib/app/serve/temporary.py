"""Temporary folder of one server, removed when it ends; folders left by killed servers are removed by the next.

A server holds a lock on its folder, which the system releases however the server ends.
"""

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from multiprocessing.util import Finalize
from pathlib import Path

from btlib.core.runtime.artifacts import UNFINISHED
from btlib.core.runtime.errors import InputError

PREFIX = "btlib-serve-"
MAX_PLACE = 50  # bytes, of at most 107 for the path of a socket
LAST = -200  # after multiprocessing removes its own temporary folder inside this one, at -100


def own_temporary_folder() -> Path:
    """Makes a folder for the temporary files of this process and its children; it is removed at exit.

    Raises:
        InputError: its path would be too long for sockets.
    """
    place = Path(tempfile.gettempdir())
    if len(os.fsencode(place)) > MAX_PLACE:
        raise InputError(f"{place}: a path of more than {MAX_PLACE} bytes; set TMPDIR to a shorter one, such as /tmp")
    _sweep(place)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    _lock(folder)
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    UNFINISHED.add(folder)  # if a signal ends the process
    Finalize(None, shutil.rmtree, (folder,), exitpriority=LAST)
    return folder


def _sweep(place: Path) -> None:
    """Removes the folders of servers that are no longer running."""
    for folder in place.glob(f"{PREFIX}*"):
        with suppress(OSError):  # of a running server, or of another user
            handle = _lock(folder)
            shutil.rmtree(folder)
            os.close(handle)


def _lock(folder: Path) -> int:
    """Locks a folder and returns the handle. Raises BlockingIOError if another process holds the lock."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise
    return handle
