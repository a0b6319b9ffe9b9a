"""The BraTS sets from 2018 on, by the names of their files; what the phantom writes is BraTS 2020's form.

2018, 2019: HGG/<case>/<case>_t1ce.nii.gz, LGG/…; the folder is the grade. 2020: <case>/<case>_t1ce.nii(.gz), grades in
name_mapping.csv. 2021: the same names without grades. 2023 on: <case>/<case>-t1c.nii.gz, where BraTS-GLI-00000-000 is
the first scan of patient BraTS-GLI-00000. Segmentations are <case>_seg or <case>-seg.
"""

import re
from pathlib import Path, PurePosixPath

from btlib.artifacts import read_csv
from btlib.data.sources.files import walk
from btlib.data.volumes.conventions import GRADES
from btlib.data.volumes.sources.entry import NUMBERED_BY_SET, Entry, Scan, grade_fault

NEW_KINDS = {"t1n": "t1", "t1c": "t1ce", "t2w": "t2", "t2f": "flair", "seg": "seg"}  # from 2023 on, after a hyphen
NAME = re.compile(r"(?P<case>.+)(?:_(?P<old>t1|t1ce|t2|flair|seg)|-(?P<new>t1n|t1c|t2w|t2f|seg))\.nii(\.gz)?")
TIMEPOINT = re.compile(r"(?P<patient>BraTS-[A-Z]+-\d+)-\d+")
MAPPING = "name_mapping.csv"
ID_COLUMNS = tuple(f"BraTS_{year}_subject_ID" for year in range(2017, 2022))


def scan(root: Path) -> Scan:
    """Lists the cases below `root` at any depth.

    Layout faults: a NIfTI file that no BraTS set would name so, two files for one volume, a grade in name_mapping.csv
    that is none or that contradicts the folder, a name_mapping.csv for other cases.
    """
    found = Scan()
    cases: dict[tuple[PurePosixPath, str], dict[str, str]] = {}
    conventions = {}
    for place, names in walk(root, found):
        for name in names:
            match = NAME.fullmatch(name)
            if match:
                kind = match["old"] or NEW_KINDS[match["new"]]
                files = cases.setdefault((place, match["case"]), {})
                conventions[place, match["case"]] = NUMBERED_BY_SET if match["old"] else ("canonical",)
                if kind in files:
                    found.broken.append(f"{place / name}: {files[kind]} is there too; keep one of them")
                files[kind] = str(place / name)
            elif name.endswith((".nii", ".nii.gz")):
                found.broken.append(
                    f"{place / name}: not a name that BraTS gives (<case>_t1, _t1ce, _t2, _flair, _seg or <case>-t1n, "
                    "-t1c, -t2w, -t2f, -seg); rename it or move it out of volumes.root"
                )
    grades = _mapped_grades(root, {case for _, case in cases}, found)
    for (place, case), files in sorted(cases.items()):
        grade = _grade(place, case, grades, found)
        timepoint = TIMEPOINT.fullmatch(case)
        patient = timepoint["patient"] if timepoint else ""
        found.entries.append(Entry(case, **files, grade=grade, patient=patient, conventions=conventions[place, case]))
    return found


def _grade(place: PurePosixPath, case: str, mapped: dict[str, str], found: Scan) -> str:
    """By the folder HGG or LGG around, or by name_mapping.csv."""
    folders = [part for part in place.parts if part in GRADES]
    grades = sorted({*folders, mapped.get(case, "")} - {""})
    if len(grades) > 1:
        found.broken.append(
            f"{place}: {' and '.join(grades)} at once, by its folders and {MAPPING}; correct one of them"
        )
    return grades[0] if grades else ""


def _mapped_grades(root: Path, cases: set[str], found: Scan) -> dict[str, str]:
    """Grades by case from every name_mapping.csv below `root`; a case stands there under its name of each year."""
    grades: dict[str, str] = {}
    for path in sorted(root.rglob(MAPPING)):
        where = path.relative_to(root).as_posix()
        table = read_csv(path, text=("Grade", *ID_COLUMNS))
        ids = [name for name in ID_COLUMNS if name in table.columns]
        if "Grade" not in table.columns or not ids:
            found.broken.append(f"{where}: expected a column Grade and one of {', '.join(ID_COLUMNS)}")
            continue
        named = {(case, grade) for column in ids for case, grade in zip(table[column], table["Grade"], strict=True)}
        for case, grade in sorted(pair for pair in named if pair[0] in cases):
            found.broken += grade_fault(where, case, grade)
            if grades.setdefault(case, grade) != grade:
                found.broken.append(f"{where}: case {case}: graded {grades[case]} and {grade}; correct one of them")
        if not cases & {case for case, _ in named}:
            found.broken.append(f"{where}: names none of the cases; put the set's own {MAPPING} there, or remove it")
    return grades
