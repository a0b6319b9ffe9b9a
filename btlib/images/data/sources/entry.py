"""What every source answers: the images it found and the faults it saw on the way."""

from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from btlib.core.runtime.errors import InputError
from btlib.core.runtime.paths import resolve_inside


@dataclass(frozen=True)
class Entry:
    """One image that a source claims to have; `path` and `mask_path` are relative to the images' root."""

    path: str
    label: str
    patient: str = ""  # '' when unknown
    mask_path: str = ""  # '' when there is none


@dataclass
class Scan:
    """`broken` layout stops every run; `unreadable` files may be left out with images.allow_unreadable."""

    entries: list[Entry] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)


def usable(root: Path, path: PurePosixPath, suffixes: set[str], scan: Scan) -> bool:
    """Whether the file is of a kind that the source reads, inside `root` and properly named; else `scan` says why."""
    try:
        resolve_inside(root, str(path))
    except InputError as error:
        scan.unreadable.append(str(error))
        return False
    if path.suffix.lower() in suffixes:
        return True
    scan.unreadable.append(f"{path}: not a supported kind of file ({', '.join(sorted(suffixes))})")
    return False
