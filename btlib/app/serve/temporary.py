"""The folder for everything temporary of one server, which goes with it; what killed servers left goes with the next.

A server holds a lock on its folder, which the system lets go of however the server ends.
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
MAX_PLACE = 50  # bytes, of the 107 that the path of a socket may have
LAST = -200  # multiprocessing removes its own temporary folder, which lies in this one, at -100


def own_temporary_folder() -> Path:
    """From now on, temporary files of this process and of those that it starts lie here; it is removed at the end.

    Raises:
        InputError: its path would be too long for the sockets that lie there.
    """
    place = Path(tempfile.gettempdir())
    if len(os.fsencode(place)) > MAX_PLACE:
        raise InputError(f"{place}: a path of more than {MAX_PLACE} bytes; set TMPDIR to a shorter one, such as /tmp")
    _sweep(place)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    _lock(folder)
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    UNFINISHED.add(folder)  # where a signal ends the process
    Finalize(None, shutil.rmtree, (folder,), exitpriority=LAST)
    return folder


def _sweep(place: Path) -> None:
    """Removes the folders of servers that live no more."""
    for folder in place.glob(f"{PREFIX}*"):
        with suppress(OSError):  # of a living server, or of another user
            handle = _lock(folder)
            shutil.rmtree(folder)
            os.close(handle)


def _lock(folder: Path) -> int:
    """The handle that holds the lock. Raises BlockingIOError where another process has it."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise
    return handle
