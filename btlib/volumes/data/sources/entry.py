"""Result of every layout: the cases found, and their faults."""

from dataclasses import dataclass, field

from btlib.core.runtime.errors import brief
from btlib.volumes.data.conventions import GRADES

NUMBERED_BY_SET = ("brats", "canonical")  # 1-2-4, or 1-2-3 in a renumbered set


@dataclass(frozen=True)
class Entry:
    """One case of a folder; paths are relative to the volumes' root, `path#k` in a 4D file."""

    case: str
    t1: str = ""  # '' if missing, which is reported by ingest
    t1ce: str = ""
    t2: str = ""
    flair: str = ""
    seg: str = ""  # '' if there is none
    grade: str = ""  # '' if unknown
    patient: str = ""  # '' if the case is its own patient
    conventions: tuple[str, ...] = NUMBERED_BY_SET  # possible numberings of the labels, the likeliest first


@dataclass
class Scan:
    """The cases of a folder; `broken`: faults of its layout, which stop the run."""

    entries: list[Entry] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)


def grade_fault(where: str, case: str, grade: str) -> list[str]:
    """A fault if `grade` is neither '' nor one of GRADES."""
    if grade in ("", *GRADES):
        return []
    return [
        f"{where}: case {brief(case)}: grade '{brief(grade)}' is neither HGG nor LGG; correct it, or leave it empty if "
        "unknown"
    ]
