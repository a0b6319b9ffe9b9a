"""Predicts cases and writes what was found: two tables, and a folder for each case."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from btlib.artifacts import atomic_path, write_csv, write_figure, write_json
from btlib.data.volumes.conventions import GRADES, LABELS, REGION_NAMES, REGIONS
from btlib.data.volumes.store import write_nifti
from btlib.data.workers import in_parallel
from btlib.deploy.case_files import InputCase, find_cases, read_scans
from btlib.deploy.cases import CaseAnswer, CasePredictor, normalized
from btlib.deploy.packed_joint import Preprocessing
from btlib.deploy.results import about, refuse_filled
from btlib.errors import InputError, listed
from btlib.evaluation.wording import titled
from btlib.explain.volume_figures import explanation_figure

MASK, UNCERTAINTY, HEAT, OVERVIEW = "seg.nii.gz", "uncertainty.nii.gz", "heat.nii.gz", "overview.png"


def predict_cases(paths: Sequence[Path], model: Path, out: Path, resample: bool = False) -> int:
    """Predicts every case in files and folders, and writes `out`, whole or not at all.

    `out`/cases.csv and cases.json have a row for each case; `out`/<case>/ has, on the grid of the case's files, the
    mask (labels as in conventions.py), the uncertainty (entropy of the whole tumour in nats) and Grad-CAM of the grade,
    and a picture. Nothing of the files' headers goes there but the grid.

    Args:
        paths: see `case_files.REMEDY`.
        model: the folder of stage package_joint.
        out: a new or empty folder.
        resample: bring volumes from other grids onto T1ce's by their headers, instead of refusing them.

    Returns:
        The number of cases.

    Raises:
        InputError: a case cannot be found or read, all faults of all cases in one list, before anything is predicted;
            or `out` has files in it.
    """
    refuse_filled(out)
    predictor = CasePredictor.load(model)
    cases, faults = find_cases(paths)
    check = partial(_faults, Preprocessing(**predictor.card["preprocessing"]), resample)
    faults += filter(None, in_parallel(check, cases, "check cases", unit="case", batch=1))
    if faults:
        indented = [fault.replace("\n", "\n    ") for fault in faults]
        raise InputError(f"nothing was predicted, since there are faults:\n{listed(indented)}")
    rows = []
    with atomic_path(out) as folder:
        for case in tqdm(cases, desc="predict", unit="case", mininterval=0.5):
            scans = read_scans(case, resample)
            answer = predictor.answer(scans)
            _write_case(folder / case.name, answer, predictor.data_note)
            rows.append(_row(answer, scans.remarks))
        write_csv(folder / "cases.csv", pd.DataFrame(rows))
        names = {str(number): name for name, number in LABELS.items()}
        write_json(folder / "cases.json", {"model": about(predictor.card) | {"labels": names}, "cases": rows})
    for row in rows:
        if row["remarks"]:
            print(f"case {row['case']}: {row['remarks']}")
    return len(rows)


def _faults(preprocessing: Preprocessing, resample: bool, case: InputCase) -> str:
    """What is wrong with a case, a line for each fault; '' where nothing is."""
    try:
        normalized(read_scans(case, resample), preprocessing)
    except InputError as error:
        return str(error)
    return ""


def _row(answer: CaseAnswer, remarks: Sequence[str]) -> dict[str, Any]:
    probabilities = answer.probabilities or {}
    volumes = {region: round(ml, 3) for region, ml in answer.volumes_ml.items()}  # to the µl
    return {
        "case": answer.name,
        "grade": answer.grade,
        **{f"p_{grade}": probabilities.get(grade) for grade in GRADES},
        "confidence": answer.confidence,
        "unsure": answer.unsure,
        "novelty": answer.novelty,
        "unfamiliar": answer.unfamiliar,
        **{f"volume_{region}_ml": volumes.get(region) for region in REGIONS},
        "mask": None if answer.labels is None else f"{answer.name}/{MASK}",
        "remarks": "; ".join([*remarks, *answer.remarks]),
    }


def _write_case(folder: Path, answer: CaseAnswer, note: str) -> None:
    for name, values in ((MASK, answer.labels), (UNCERTAINTY, answer.uncertainty), (HEAT, answer.heat)):
        if values is not None:
            write_nifti(folder / name, values, answer.case)
    write_figure(folder / OVERVIEW, explanation_figure(_title(answer, note), answer.case, answer.maps))


def _title(answer: CaseAnswer, note: str) -> str:
    """'case7: HGG 97.3%, unsure, unfamiliar – network trained on phantom data', and the volumes."""
    graded = "not graded by this network" if answer.grade is None else f"{answer.grade} {answer.confidence:.1%}"
    flags = [name for name in ("unsure", "unfamiliar") if getattr(answer, name)]
    volumes = ", ".join(f"{REGION_NAMES[name]} {ml:.1f} ml" for name, ml in answer.volumes_ml.items())
    trained = note and f"network trained on {note}"
    return titled(f"{answer.name}: {', '.join([graded, *flags])}", trained) + (volumes and f"\n{volumes}")
