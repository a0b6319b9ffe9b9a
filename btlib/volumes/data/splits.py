"""Stratified train, validation and test splits of cases, by patient."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from btlib.core.runtime.artifacts import read_csv
from btlib.core.runtime.dealing import SPLITS, by_fold, by_group
from btlib.core.runtime.errors import InputError, listed
from btlib.volumes.data.conventions import GRADES

UNGRADED = "ungraded"


class Fold(NamedTuple):
    """Part `number` of `of` equal parts of the patients is the test set."""

    number: int
    of: int


ALL = Fold(0, 1)


def split_cases(
    manifest: pd.DataFrame,
    held_out: float,
    seed: int,
    segments: bool = True,
    grades: bool = True,
    fold: Fold = ALL,
    phantoms: bool = False,
) -> np.ndarray:
    """Assigns every case to `train`, `val` or `test`: by patient, stratified by grade and by having a segmentation.

    Args:
        manifest: `patient, grade, seg`.
        held_out: share of validation and test together; each gets half of it.
        seed: same seed, same split.
        segments, grades: the tasks of the network.
        fold: of several, the test set instead of the other half of held_out.
        phantoms: whether phantoms of both grades are trained on as well; then few real cases suffice.

    Returns:
        Text [N].

    Raises:
        InputError: a split would lack cases for one of the tasks: a grade, or segmented cases.
    """
    strata = _grades(manifest) + np.where(manifest["seg"] == "", ", not segmented", "")
    patients = pd.DataFrame({"label": strata, "group": manifest["patient"]})
    if fold.of == 1:
        assigned = by_group(patients, seed, held_out)
    else:
        assigned = by_fold(patients, seed, fold.of, fold.number, held_out / 2)
    _check_tasks(manifest, assigned, segments, grades and not phantoms)
    return assigned


def grade_counts(manifest: pd.DataFrame, assigned: np.ndarray) -> dict[str, dict[str, int]]:
    """Cases of each grade in each split: {"train": {"LGG": n, "HGG": n, "ungraded": n}, …}."""
    grades = _grades(manifest)
    return {
        name: {grade: int(((grades == grade) & (assigned == name)).sum()) for grade in (*GRADES, UNGRADED)}
        for name in SPLITS
    }


def cases_of(splits: Path, cases: pd.DataFrame, part: str) -> list[str]:
    """The cases of one split, in the order of `cases`.

    Args:
        splits: the file with `case, split`.
        cases: `case, patient`: the manifest, or the index of the normalised cases.
        part: `train`, `val` or `test`.

    Raises:
        InputError: the tables list different cases, or a patient is in two splits.
    """
    assert part in SPLITS, part
    table = read_csv(splits, text=("case", "split"))
    strangers = set(table["case"]) ^ set(cases["case"])
    if strangers:
        raise InputError(
            f"{splits}: other cases than those ingested, {len(strangers)} in all, for example '{min(strangers)}'; "
            "run `dvc repro split_volumes`"
        )
    check_no_shared_patients(cases, table)
    chosen = set(table["case"][table["split"] == part])
    return [case for case in cases["case"] if case in chosen]


def check_no_shared_patients(cases: pd.DataFrame, splits: pd.DataFrame) -> None:
    """Raises InputError, listing them, if patients are in more than one split.

    Args:
        cases: `case, patient`.
        splits: `case, split`.
    """
    parts = splits["split"].groupby(splits["case"].map(cases.set_index("case")["patient"])).unique()
    shared = [f"{patient} in {' and '.join(sorted(found))}" for patient, found in parts.items() if len(found) > 1]
    if shared:
        raise InputError(
            f"{len(shared)} patient(s) in more than one split, which would invalidate the test:\n{listed(shared)}\n"
            "Run `dvc repro split_volumes`, which assigns each patient to one split"
        )


def _grades(manifest: pd.DataFrame) -> pd.Series:
    return manifest["grade"].replace("", UNGRADED)


def _check_tasks(manifest: pd.DataFrame, assigned: np.ndarray, segments: bool, grades: bool) -> None:
    """Every split needs cases of both grades for grading, and segmented ones for segmentation."""
    needed = {grade: manifest["grade"] == grade for grade in GRADES} if grades else {}
    needed |= {"segmented": manifest["seg"] != ""} if segments else {}
    faults = [
        f"no {what} case in {name} ({manifest['patient'][has].nunique()} patient(s) in all)"
        for what, has in needed.items()
        for name in SPLITS
        if not (has & (assigned == name)).any()
    ]
    if faults:
        raise InputError(
            f"the cases cannot be split so that every split has cases for all tasks:\n{listed(faults)}\n"
            "Add such cases, at least three patients of each kind (grades go into a cases.csv), or leave out a task: "
            "joint.grading: none, or joint.segmentation: false"
        )
