"""Shared by all commands: invalid input, or a signal, ends a command with one message."""

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from btlib.core.runtime.errors import InputError
from btlib.core.runtime.interruption import interruptible

# File system errors that may occur anywhere, whatever the code does
REFUSALS = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ENAMETOOLONG}


@contextmanager
def command(name: str, advice: str = "") -> Iterator[None]:
    """Runs a command in the block. InputError and REFUSALS of the file system become one message and exit code 1.

    Any other exception is a bug and shows its traceback. See `interruptible` for signals.

    Args:
        name: of the command, as prefix of every message.
        advice: what to do if it was stopped.
    """
    with interruptible(name, advice):
        try:
            yield
        except InputError as error:
            _fail(name, error)
        except OSError as error:
            if error.errno not in REFUSALS:
                raise
            _fail(name, f"{error.filename}: {error.strerror}" if error.filename else error.strerror)


def _fail(name: str, message: object) -> None:
    print(f"\n{name}: {message}\n", file=sys.stderr)
    sys.exit(1)
