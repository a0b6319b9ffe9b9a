"""What every source answers: the images it found and the faults it saw on the way."""

from dataclasses import dataclass, field


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
