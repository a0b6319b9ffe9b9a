"""Reads and checks the tables behind every number of the 3D study.

Probabilities are all empty if a network does not grade, the Dice if it does not segment; the Dice is also empty for
cases without a true segmentation. All faults of a table are listed at once in an InputError.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from btlib.core.runtime.artifacts import read_csv
from btlib.core.runtime.errors import InputError, listed
from btlib.volumes.data.conventions import GRADES, REGIONS
from btlib.volumes.evaluation.cohort import Cohort

PROBABILITIES = [f"p_{grade}" for grade in GRADES]
DICE = [f"dice_{region}" for region in REGIONS]

PREDICTIONS = ["case", "patient", "grade", *PROBABILITIES]  # grade: '' if unknown
# only cases with a true segmentation; dice_raw: without post-processing
SEGMENTATION = ["case", "region", "dice", "hd95", "truth_ml", "predicted_ml", "dice_raw"]
VALIDATION_DICE = ["case", "region", "dice", "dice_raw"]
VOXEL_ERRORS = ["method", "case", "bin", "right", "wrong"]  # the filled bins of `uncertainty.error_histograms`
GRADE_UNCERTAINTY = ["method", "case", "p_HGG", "uncertainty"]
CASE_SCORES = ["arm", "seed", "case", "patient", "grade", "p_HGG", *DICE]
MODALITY_SCORES = ["arm", "subset", *CASE_SCORES[1:]]  # subset: the modalities given, such as t1+flair
RUNS = ["arm", "seed", "failed"]  # failed: the reason that this run has no scores, or ''

TEXT = ("case", "patient", "grade", "region", "method", "arm", "subset", "failed")
ROW_SUM_TOLERANCE = 1e-4  # float32 softmax rows are off by about 1e-7


class Runs(NamedTuple):
    """Scores of one network trained with S seeds, on the N cases of a cohort.

    Attributes:
        seeds: S numbers.
        dice: [S, N, 3] in the order of REGIONS; NaN for cases without a true segmentation, or for all.
        p_hgg: [S, N]; all NaN if the network does not grade.
    """

    seeds: tuple[int, ...]
    dice: np.ndarray
    p_hgg: np.ndarray

    def at(self, seeds: Sequence[int]) -> "Runs":
        """The runs with these seeds, in their order."""
        rows = [self.seeds.index(seed) for seed in seeds]
        return Runs(tuple(seeds), self.dice[rows], self.p_hgg[rows])


class JointTables(NamedTuple):
    """Predictions of one network: the tables val and test (PREDICTIONS), and the others for the test cases."""

    val: pd.DataFrame
    test: pd.DataFrame
    segmentation: pd.DataFrame
    voxel_errors: pd.DataFrame
    grade_uncertainty: pd.DataFrame

    @property
    def cohort(self) -> Cohort:
        """The test cases; those in the segmentation table count as segmented."""
        cases, patients, grades = (self.test[name].to_numpy(dtype=object) for name in PREDICTIONS[:3])
        return Cohort(cases, patients, grades, np.isin(cases, self.segmentation["case"].unique()))


def read_joint_tables(folder: Path) -> JointTables:
    """Reads each table from <name>.csv in a folder."""
    val, test = (read_grade_predictions(folder / f"{split}.csv") for split in ("val", "test"))
    return JointTables(
        val,
        test,
        read_segmentation(folder / "segmentation.csv", test["case"]),
        read_voxel_errors(folder / "voxel_errors.csv", test["case"]),
        read_grade_uncertainty(folder / "grade_uncertainty.csv", test["case"]),
    )


class Comparison(NamedTuple):
    """Predictions of an ablation's networks on one cohort.

    Attributes:
        arms: arm -> runs, for arms with at least one finished run.
        failures: arm -> seed -> reason for the failure, or ''.
        subsets: (arm, modalities such as t1+flair) -> runs.
    """

    cohort: Cohort
    arms: dict[str, Runs]
    failures: dict[str, dict[int, str]]
    subsets: dict[tuple[str, str], Runs]
    voxel_errors: pd.DataFrame
    grade_uncertainty: pd.DataFrame


def read_comparison(folder: Path) -> Comparison:
    """Reads cases.csv, runs.csv, modalities.csv, voxel_errors.csv and grade_uncertainty.csv from a folder.

    Raises:
        InputError: a table has a fault, or cases.csv and modalities.csv have different cases.
    """
    cohort, arms = read_case_scores(folder / "cases.csv", CASE_SCORES)
    again, subsets = read_case_scores(folder / "modalities.csv", MODALITY_SCORES)
    if subsets and not np.array_equal(cohort.cases, again.cases):
        raise InputError(f"{folder}: cases.csv and modalities.csv have different cases; run `dvc repro` again")
    return Comparison(
        cohort,
        {arm: runs for (arm,), runs in arms.items()},
        read_failures(folder / "runs.csv"),
        subsets,
        read_voxel_errors(folder / "voxel_errors.csv", cohort.cases),
        read_grade_uncertainty(folder / "grade_uncertainty.csv", cohort.cases),
    )


def read_grade_predictions(path: Path) -> pd.DataFrame:
    """Reads the table PREDICTIONS of one split."""
    table = _read(path, PREDICTIONS)
    probabilities = table[PROBABILITIES].to_numpy(dtype=float)
    unsummed = np.abs(probabilities.sum(axis=1) - 1) > ROW_SUM_TOLERANCE
    faults = [*_repeated(table, ["case"]), *_unknown_grades(table), *_outside(table, PROBABILITIES)]
    faults += [f"case '{name}': p_LGG and p_HGG do not sum to 1" for name in table["case"][unsummed]]
    empty = np.isnan(probabilities)
    if empty.any() and not empty.all():
        faults += [f"case '{name}': a probability is empty" for name in table["case"][empty.any(axis=1)]]
    return _faultless(table, faults, path)


def read_segmentation(path: Path, cases: Sequence[str]) -> pd.DataFrame:
    """Reads the table SEGMENTATION, which may hold only these cases."""
    table = _read(path, SEGMENTATION)
    faults = _strangers(table, cases) + _outside(table, ["dice", "dice_raw"])
    for name, rows in table.groupby("case"):
        if sorted(rows["region"]) != sorted(REGIONS):
            faults.append(f"case '{name}': regions {', '.join(rows['region'])}, expected {', '.join(REGIONS)}")
    return _faultless(table, faults, path)


def read_case_scores(path: Path, columns: list[str]) -> tuple[Cohort, dict[tuple[str, ...], Runs]]:
    """Reads the table CASE_SCORES or MODALITY_SCORES.

    Returns:
        The cases, sorted by name; and (arm,) or (arm, subset) -> runs, in file order.
    """
    keys = columns[: columns.index("seed")]
    table = _read(path, columns)
    faults = _repeated(table, [*keys, "seed", "case"]) + _unknown_grades(table) + _outside(table, ["p_HGG", *DICE])
    described = table.drop_duplicates(["case", "patient", "grade"])
    faults += [f"case '{name}' has more than one patient or grade" for name in _twice(described, ["case"])["case"]]
    _faultless(table, faults, path)
    cohort = _cohort(table)
    runs, faults = {}, []
    for key, rows in table.groupby(keys, sort=False):
        for seed, run in rows.groupby("seed"):
            faults += [f"{', '.join(key)}, seed {seed}: {fault}" for fault in _run_faults(run, cohort)]
        runs[key] = rows
    _faultless(table, faults, path)
    return cohort, {key: _runs(rows, len(cohort.cases)) for key, rows in runs.items()}


def read_failures(path: Path) -> dict[str, dict[int, str]]:
    """Reads the table RUNS: arm -> seed -> reason for the failure, or ''; in file order."""
    failures: dict[str, dict[int, str]] = {}
    for run in _read(path, RUNS).itertuples():
        failures.setdefault(run.arm, {})[int(run.seed)] = run.failed
    return failures


def read_voxel_errors(path: Path, cases: Sequence[str]) -> pd.DataFrame:
    """Reads the table VOXEL_ERRORS, which may hold only these cases."""
    table = _read(path, VOXEL_ERRORS)
    return _faultless(table, _repeated(table, ["method", "case", "bin"]) + _strangers(table, cases), path)


def read_grade_uncertainty(path: Path, cases: Sequence[str]) -> pd.DataFrame:
    """Reads the table GRADE_UNCERTAINTY, which may hold only these cases."""
    table = _read(path, GRADE_UNCERTAINTY)
    faults = [*_repeated(table, ["method", "case"]), *_strangers(table, cases), *_outside(table, ["p_HGG"])]
    empty = table[["p_HGG", "uncertainty"]].isna().any(axis=1)
    faults += [f"case '{name}': p_HGG or uncertainty is empty" for name in table["case"][empty]]
    return _faultless(table, faults, path)


def _read(path: Path, columns: list[str]) -> pd.DataFrame:
    table = read_csv(path, text=TEXT)
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise InputError(f"{path}: missing columns {missing}; run `dvc repro` again")
    numbers = table[[name for name in columns if name not in TEXT]]
    words = numbers.columns[[not pd.api.types.is_numeric_dtype(kind) for kind in numbers.dtypes]] if len(table) else []
    return _faultless(table, [f"column {name} is not numeric" for name in words], path)


def _faultless(table: pd.DataFrame, faults: list[str], path: Path) -> pd.DataFrame:
    if faults:
        raise InputError(f"{path}:\n{listed(faults)}\nRun `dvc repro` to write the table again.")
    return table


def _twice(table: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """The values of `columns` that occur in more than one row, once each."""
    return table.loc[table.duplicated(columns), columns].drop_duplicates()


def _repeated(table: pd.DataFrame, columns: list[str]) -> list[str]:
    rows = _twice(table, columns).itertuples(index=False)
    return [f"{', '.join(columns)}: {', '.join(map(str, row))} occurs more than once" for row in rows]


def _unknown_grades(table: pd.DataFrame) -> list[str]:
    unknown = table[~table["grade"].isin(["", *GRADES])].drop_duplicates("case")
    return [
        f"case '{row.case}': grade should be {', '.join(GRADES)} or empty, found '{row.grade}'"
        for row in unknown.itertuples()
    ]


def _outside(table: pd.DataFrame, columns: list[str]) -> list[str]:
    return [
        f"case '{row['case']}': {name} should be within 0 … 1, found {row[name]}"
        for name in columns
        for _, row in table[(table[name] < 0) | (table[name] > 1)].iterrows()
    ]


def _strangers(table: pd.DataFrame, cases: Sequence[str]) -> list[str]:
    return [f"case '{name}' is not among the test cases" for name in sorted(set(table["case"]) - set(cases))]


def _cohort(table: pd.DataFrame) -> Cohort:
    """The cases of a table of case scores; those with a Dice in any row count as segmented."""
    cases = table.assign(segmented=table[DICE].notna().any(axis=1)).groupby("case", sort=True)
    first = cases.agg({"patient": "first", "grade": "first", "segmented": "any"})
    return Cohort(
        first.index.to_numpy(dtype=object),
        first["patient"].to_numpy(dtype=object),
        first["grade"].to_numpy(dtype=object),
        first["segmented"].to_numpy(dtype=bool),
    )


def _run_faults(run: pd.DataFrame, cohort: Cohort) -> list[str]:
    """Faults of a run: it must have all cases, and each score either for all of them or for none."""
    strays = sorted(set(cohort.cases) - set(run["case"]))
    faults = [f"case '{strays[0]}' and {len(strays) - 1} more are missing"] if strays else []
    known = {"p_HGG": cohort.cases} | dict.fromkeys(DICE, cohort.cases[cohort.segmented])
    for name, cases in known.items():
        empty = sorted(set(cases) - set(run["case"][run[name].notna()]) - set(strays))
        if empty and run[name].notna().any():
            faults.append(f"{name} of case '{empty[0]}' is empty, but not that of all cases")
    return faults


def _runs(rows: pd.DataFrame, cases: int) -> Runs:
    ordered = rows.sort_values(["seed", "case"])
    seeds = tuple(int(seed) for seed in ordered["seed"].unique())
    dice = ordered[DICE].to_numpy(dtype=float).reshape(len(seeds), cases, len(DICE))
    return Runs(seeds, dice, ordered["p_HGG"].to_numpy(dtype=float).reshape(len(seeds), cases))
