"""BraTS data sets from 2018 on, by file names; the phantom has the layout of BraTS 2020.

2018, 2019: HGG/<case>/<case>_t1ce.nii.gz, LGG/…; the folder is the grade. 2020: <case>/<case>_t1ce.nii(.gz), grades in
name_mapping.csv. 2021: the same names without grades. 2023 on: <case>/<case>-t1c.nii.gz, where BraTS-GLI-00000-000 is
the first scan of patient BraTS-GLI-00000. Segmentations are <case>_seg or <case>-seg. Names are case-insensitive.
"""

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from btlib.core.runtime.errors import InputError
from btlib.core.runtime.listing import walk
from btlib.core.runtime.tables import read_user_table
from btlib.volumes.data.conventions import GRADES
from btlib.volumes.data.reading import is_nifti
from btlib.volumes.data.sources.entry import NUMBERED_BY_SET, Entry, Scan, grade_fault

NEW_KINDS = {"t1n": "t1", "t1c": "t1ce", "t2w": "t2", "t2f": "flair", "seg": "seg"}  # from 2023 on, after a hyphen
NAME = re.compile(
    r"(?P<case>.+)(_(?P<old>t1|t1ce|t2|flair|seg)|-(?P<new>t1n|t1c|t2w|t2f|seg))\.nii(\.gz)?", re.IGNORECASE
)
TIMEPOINT = re.compile(r"(?P<patient>BraTS-(?P<set>[A-Z]+)-\d+)-\d+", re.IGNORECASE)
# Numberings of the sets from 2023 on; only the newer ones use 4
NUMBERED_BY_NAME = {"PED": ("canonical", "ped"), "MEN": ("canonical",), "SSA": ("canonical",)}
NUMBERED_SINCE_2023 = ("canonical", "post_treatment")
MAPPING = "name_mapping.csv"
ID_COLUMNS = tuple(f"BraTS_{year}_subject_ID" for year in range(2017, 2022))


def scan(root: Path) -> Scan:
    """Lists the cases below `root` at any depth.

    Layout faults: a NIfTI file without a BraTS name, two files for one volume, a grade in name_mapping.csv that is
    invalid or contradicts the folder, a name_mapping.csv for other cases.
    """
    found = Scan()
    cases: dict[tuple[PurePosixPath, str], dict[str, str]] = {}
    names_of: dict[tuple[PurePosixPath, str], re.Match] = {}
    for place, names in walk(root, found.broken):
        for name in names:
            match = NAME.fullmatch(name)
            if match:
                kind = (match["old"] or NEW_KINDS[match["new"].lower()]).lower()
                key = (place, match["case"].casefold())
                files = cases.setdefault(key, {})
                if kind in files:
                    found.broken.append(f"{place / name}: {files[kind]} exists too; keep one of them")
                files[kind] = str(place / name)
                names_of[key] = match
            elif is_nifti(name):
                found.broken.append(
                    f"{place / name}: not a BraTS name (<case>_t1, _t1ce, _t2, _flair, _seg or <case>-t1n, -t1c, -t2w, "
                    "-t2f, -seg); rename it or move it out of volumes.root"
                )
    grades = _mapped_grades(root, {key[1]: match["case"] for key, match in names_of.items()}, found)
    for key, files in sorted(cases.items()):
        case = names_of[key]["case"]
        scanned = TIMEPOINT.fullmatch(case)
        found.entries.append(
            Entry(
                case,
                **files,
                grade=_grade(*key, grades, found),
                patient=scanned["patient"] if scanned else "",
                conventions=_conventions(names_of[key], scanned),
            )
        )
    return found


def _conventions(name: re.Match, scanned: re.Match | None) -> tuple[str, ...]:
    if name["old"]:
        return NUMBERED_BY_SET
    return NUMBERED_BY_NAME.get(scanned["set"].upper(), NUMBERED_SINCE_2023) if scanned else NUMBERED_SINCE_2023


def _grade(place: PurePosixPath, case: str, mapped: dict[str, str], found: Scan) -> str:
    """Grade by an enclosing folder HGG or LGG, or by name_mapping.csv.

    Args:
        case: its name in lower case.
    """
    folders = [part.upper() for part in place.parts if part.upper() in GRADES]
    grades = sorted({*folders, mapped.get(case, "")} - {""})
    if len(grades) > 1:
        found.broken.append(
            f"{place}: {' and '.join(grades)} at once, by its folders and {MAPPING}; correct one of them"
        )
    return grades[0] if grades else ""


def _mapped_grades(root: Path, cases: Mapping[str, str], found: Scan) -> dict[str, str]:
    """Lower-case name -> grade, from every name_mapping.csv below `root`, which lists a case's name of each year.

    Args:
        cases: lower-case name -> name.
    """
    grades: dict[str, str] = {}
    for path in sorted(root.rglob(MAPPING)):
        where = path.relative_to(root).as_posix()
        try:
            table = read_user_table(path, ("Grade", *ID_COLUMNS), required=("Grade", ID_COLUMNS))
        except InputError as error:
            found.broken.append(str(error))
            continue
        ids = [name for name in ID_COLUMNS if name in table.columns]
        named = {
            (case.casefold(), grade.upper())
            for column in ids
            for case, grade in zip(table[column], table["Grade"], strict=True)
        }
        for case, grade in sorted(pair for pair in named if pair[0] in cases):
            found.broken += grade_fault(where, cases[case], grade)
            if grades.setdefault(case, grade) != grade:
                found.broken.append(
                    f"{where}: case {cases[case]}: graded {grades[case]} and {grade}; correct one of them"
                )
        if not cases.keys() & {case for case, _ in named}:
            found.broken.append(
                f"{where}: lists none of the cases; replace it by the set's own {MAPPING}, or remove it"
            )
    return grades
