"""Checks the project's location before anything is installed, and adapts DVC's local settings to it.

Uses only Python's standard library. Run: make setup (every other target runs it too)
"""

import configparser
import errno
import fcntl
import os
import subprocess
import sys
import tempfile
from pathlib import Path

LOCAL = Path(".dvc/config.local")  # settings of this copy of the project, never in git
NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EINVAL, errno.EIO}


def settle() -> list[str]:
    """Adapts DVC's local settings to the location; returns remarks for the user.

    Raises:
        OSError: the folder is not writable.
    """
    with tempfile.TemporaryFile(dir="."), tempfile.TemporaryFile(dir=".dvc") as probe:
        locks = _can_lock(probe)
    remarks = []
    git = any((folder / ".git").exists() for folder in (Path.cwd(), *Path.cwd().parents))
    if _set_local("no_scm", not git) and not git:
        remarks.append(
            "no git repository here (a downloaded ZIP?), so DVC runs without (core.no_scm in .dvc/config.local). The "
            "study runs; `dvc exp` and `dvc metrics diff` need git: `git init && git add -A && git commit -m start`."
        )
    if not locks and _set_local("hardlink_lock", True):
        for name in ("lock", "rwlock.lock"):  # an empty lock file of the other type would count as locked
            Path(".dvc/tmp", name).unlink(missing_ok=True)
        remarks.append(
            "this file system does not support locks (flock): DVC uses hard links instead (core.hardlink_lock in "
            ".dvc/config.local). `dvc exp run` needs a local disk."
        )
    if git and _is_distrusted():
        remarks.append(
            "this checkout belongs to another user, so git and `dvc exp` refuse it; the study runs. If you trust "
            f"that user: git config --global --add safe.directory {Path.cwd()}"
        )
    return remarks


def _can_lock(file) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in NO_LOCKS
    return True


def _set_local(key: str, wanted: bool) -> bool:
    """Sets or removes a switch of section core; returns whether that changed anything."""
    config = configparser.ConfigParser(interpolation=None)
    config.read(LOCAL, encoding="utf-8")
    if config.getboolean("core", key, fallback=False) == wanted:
        return False
    if wanted:
        config.read_dict({"core": {key: "true"}})
    else:
        config.remove_option("core", key)
    partial = LOCAL.with_suffix(".partial")
    with partial.open("w", encoding="utf-8") as file:
        config.write(file)
    partial.replace(LOCAL)
    return True


def _is_distrusted() -> bool:
    try:
        done = subprocess.run(["git", "rev-parse"], capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"})
    except OSError:
        return False  # no git: DVC has its own
    return "dubious ownership" in done.stderr


def main() -> None:
    try:
        for remark in settle():
            print(f"btlib: {remark}")
    except OSError as error:
        sys.exit(
            f"btlib: {error.filename or Path.cwd()}: {error.strerror}. The project's folder must be writable, since "
            "all results are written there; copy it to a folder of your own."
        )


if __name__ == "__main__":
    main()
