"""Validation of paths named in data: they must lead to regular files below their root."""

from functools import cache
from pathlib import Path

from btlib.core.runtime.errors import InputError, brief, guarded

ABSENT = "no such file (a dangling link, or moved since the scan)"


def resolve_inside(root: Path, path: str) -> Path:
    """The real file behind `root/path`.

    Raises:
        InputError: `path` is not a possible path, does not exist, is not a regular file (a folder, pipe or device), or
            is outside `root`. A link may lead into the cache of the DVC project of the working folder.
    """
    try:
        path.encode()
        real = (root / path).resolve()
        plain = real.is_file()
    except UnicodeEncodeError:
        raise InputError(f"{brief(path)}: the name is not UTF-8; rename the file") from None
    except (OSError, RuntimeError, ValueError) as error:  # too long, a loop of links, a NUL, no permission
        raise InputError(f"{brief(path)}: unusable path ({brief(error)}); rename the file, or copy it again") from error
    own = root.resolve()
    if not real.is_relative_to(own) and not _in_cache(real, own):
        raise InputError(f"{path}: leads out of its root folder to {real}; copy the file into the root")
    if not plain:
        what = "not a regular file, but a folder, pipe or device" if real.exists() else ABSENT
        raise InputError(f"{path}: {what}")
    return real


def _in_cache(real: Path, root: Path) -> bool:
    """Whether a file is in DVC's cache, where `dvc config cache.type symlink` links files below `root`.

    Only the project of the working folder counts: its commands run here anyway, while settings of others may have come
    with the data and could name any folder as a cache.
    """
    here = Path.cwd()
    project = next((folder for folder in (here, *here.parents) if (folder / ".dvc").is_dir()), None)
    return project is not None and root.is_relative_to(project) and real.is_relative_to(_cache(project))


@cache
def _cache(project: Path) -> Path:
    from dvc.config import Config  # slow to import and rarely needed

    settings = project / ".dvc"
    with guarded(str(settings), "folder of DVC settings", "repair its config"):
        return Path(Config(dvc_dir=str(settings))["cache"].get("dir") or settings / "cache").resolve()
