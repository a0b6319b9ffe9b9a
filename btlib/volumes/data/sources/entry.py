"""What every layout answers: the cases it found and the faults it saw on the way."""

from dataclasses import dataclass, field

from btlib.core.runtime.errors import brief
from btlib.volumes.data.conventions import GRADES

NUMBERED_BY_SET = ("brats", "canonical")  # 1-2-4, or 1-2-3 where somebody renumbered the set


@dataclass(frozen=True)
class Entry:
    """One case that a folder claims to have; paths are relative to the volumes' root, `path#k` in a 4D file."""

    case: str
    t1: str = ""  # '' when missing, which the ingest reports
    t1ce: str = ""
    t2: str = ""
    flair: str = ""
    seg: str = ""  # '' when there is none
    grade: str = ""  # '' when unknown
    patient: str = ""  # '' when the case is its own patient
    conventions: tuple[str, ...] = NUMBERED_BY_SET  # numberings that the labels may have, the likeliest first


@dataclass
class Scan:
    """The cases of a folder; what is `broken` in its layout stops the run."""

    entries: list[Entry] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)


def grade_fault(where: str, case: str, grade: str) -> list[str]:
    """One fault when `grade` is neither '' nor one of GRADES."""
    if grade in ("", *GRADES):
        return []
    return [
        f"{where}: case {brief(case)}: grade '{brief(grade)}' is neither HGG nor LGG; correct it, or leave it empty if "
        "unknown"
    ]
