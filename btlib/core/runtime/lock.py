"""A lock between processes, which the system releases however its holder ends."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from btlib.core.runtime.errors import InputError
from btlib.core.runtime.place import NO_LOCKS


@contextmanager
def locked(path: Path, busy: str) -> Iterator[None]:
    """Holds the lock of the file `path` for the block. The empty file stays, since deleting it would split the lock.

    On file systems without locks the block runs unlocked.

    Args:
        busy: what to say if another process holds the lock.

    Raises:
        InputError: another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"{busy}; wait until it has ended, then run the same command again") from None
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
        yield
