"""Request to a source, and its result: the images found, and their faults."""

from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from btlib.core.runtime.errors import InputError
from btlib.core.runtime.paths import resolve_inside


@dataclass(frozen=True)
class Entry:
    """One image of a source; `path` and `mask_path` are relative to the images' root."""

    path: str
    label: str
    patient: str = ""  # '' if unknown
    mask_path: str = ""  # '' if there is none


@dataclass(frozen=True)
class Request:
    """Arguments of a source.

    Attributes:
        root: the folder to list.
        key: of `root` in params.yaml, for messages.
        masks: files that are lesion masks, not images, relative to `root`.
        complete: whether every class must be present.
    """

    root: Path
    key: str = "images.root"
    masks: frozenset[str] = frozenset()
    complete: bool = True


@dataclass
class Scan:
    """`broken`: layout faults, which stop every run; `unreadable`: files that images.allow_unreadable may leave out."""

    entries: list[Entry] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)


def usable(root: Path, path: PurePosixPath, suffixes: set[str], scan: Scan) -> bool:
    """Whether the file is inside `root`, properly named and of a supported kind; if not, adds the reason to `scan`."""
    try:
        resolve_inside(root, str(path))
    except InputError as error:
        scan.unreadable.append(str(error))
        return False
    if path.suffix.lower() in suffixes:
        return True
    scan.unreadable.append(f"{path}: not a supported kind of file ({', '.join(sorted(suffixes))})")
    return False
