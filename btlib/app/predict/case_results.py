"""Predicts cases and writes the results: tables, and one folder per case."""

import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from btlib.app.predict.cases import CaseAnswer, CasePredictor
from btlib.app.predict.journal import Entry, journal_in, settings_of, stamp_of
from btlib.app.predict.tables import write_tables
from btlib.app.scans.case_files import Found
from btlib.app.scans.results import about
from btlib.app.scans.scans import InputCase, Scans, fault_of, read_scans
from btlib.core.runtime.artifacts import atomic_path
from btlib.core.runtime.errors import InputError
from btlib.core.runtime.isolation import Lost, in_isolation
from btlib.report.figures.files import FigureFolder
from btlib.report.figures.numbers import SHARE
from btlib.report.figures.volume_maps import explanation_figure
from btlib.volumes.data.conventions import GRADES, MODALITIES, REGION_NAMES, REGIONS
from btlib.volumes.data.labels import TISSUE, numbering, renumbered
from btlib.volumes.data.store import write_nifti

MASK, UNCERTAINTY, HEAT, OVERVIEW = "seg.nii.gz", "uncertainty.nii.gz", "heat.nii.gz", "overview.png"
CANONICAL = "canonical"  # the numbering of LABELS
SECONDS = 300.0  # to read and check one case
NO_MEMORY = "does not fit into the memory of this computer or its GPU; resample it to larger voxels"


def predict_cases(
    found: Found,
    model: Path,
    out: Path,
    resample: bool = False,
    orientation: str | None = None,
    labels: str = CANONICAL,
    resume: bool = False,
) -> int:
    """Predicts the cases found, one after the other, and writes `out`.

    `out`/cases.csv and cases.json have one row per case, with the file used for each modality and why;
    `out`/unused.csv lists the files that were not used, and the cases that cannot be predicted. `out`/<case>/ holds, on
    the grid of the case's files, the mask, the uncertainty (entropy of the whole tumour in nats) and Grad-CAM of the
    grade, and a picture. Only the grid is copied from the files' headers. The tables are written at the end, from the
    journal; see `journal.py`.

    Args:
        found: see `case_files.find_cases`.
        model: the folder of stage package_joint.
        out: a new or empty folder.
        resample, orientation: see `scans.read_scans`.
        labels: the numbering of the masks, a key of `btlib.volumes.data.labels.CONVENTIONS`.
        resume: continue the run in `out`, predicting only cases that are new or whose files have changed.

    Returns:
        The number of cases.

    Raises:
        InputError: see `journal_in` and `Journal.pending`; or no case can be predicted: nothing is written. Also when
            only some cannot: the others are predicted and `out` is written.
    """
    predictor = CasePredictor.load(model)
    read = partial(read_scans, resample=resample, orientation=orientation)
    plan = predictor.card["preprocessing"]
    check = partial(fault_of, read=read, spacing=plan["spacing"], percentiles=plan["clip_percentiles"])
    options = {"kind": "volumes", "--resample": resample, "--assume-orientation": orientation, "--labels": labels}
    cases = {case.name: case for case in found.cases}
    stamps = {name: stamp_of(case.paths, case.stated, case.by) for name, case in cases.items()}
    with journal_in(out, settings_of(model, **options), resume) as journal:
        pending = [cases[name] for name in journal.pending(stamps)]
        done = len(cases) - len(pending)
        # each is read in an isolated process first, while the one before is predicted
        checks = in_isolation(check, pending, "predict", unit="case", batch=1, seconds=SECONDS, done=done)
        for case, fault in zip(pending, checks, strict=True):
            fault = f"case {case.name}: {fault.reason}" if isinstance(fault, Lost) else fault
            outcome = _refused(case, out, fault) if fault else _predicted(case, out, predictor, read, labels)
            journal.add([Entry(case.name, stamps[case.name], *outcome)])
        names = {str(number): TISSUE[label] for number, label in numbering(labels).items()}
        rules = {"postprocessing": predictor.card["postprocessing"]}
        about_all = about(predictor.card) | rules | {"labels": names, "numbering": labels}
        for entry in journal.entries(stamps):
            if entry.row and entry.row["remarks"]:
                print(f"case {entry.name}: {entry.row['remarks']}")
        return write_tables(out, journal, list(stamps), "cases", about_all, found.faults, found.unused.items())


def _predicted(
    case: InputCase, out: Path, predictor: CasePredictor, read: Callable[[InputCase], Scans], labels: str
) -> tuple[dict[str, Any] | None, list[tuple[str, str]]]:
    """Row and unused files of an `Entry`; writes the folder of the case."""
    try:
        scans = read(case)
        answer = predictor.answer(scans)
    except InputError as error:
        return _refused(case, out, str(error))
    except (MemoryError, torch.OutOfMemoryError):
        return _refused(case, out, f"case {case.name}: {NO_MEMORY}")
    with atomic_path(out / case.name) as folder:
        _write_case(folder, answer, predictor.data_note, labels)
    unused = case.unused_beside(case.choose())
    return _row(answer, scans.remarks, labels), [(str(case.root / file), why) for file, why in unused.items()]


def _refused(case: InputCase, out: Path, fault: str) -> tuple[None, list[tuple[str, str]]]:
    """As `_predicted`; removes the results for the files before they changed."""
    shutil.rmtree(out / case.name, ignore_errors=True)
    return None, [(str(case.folder), fault)]


def _row(answer: CaseAnswer, remarks: Sequence[str], labels: str) -> dict[str, Any]:
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
        "labels": None if answer.labels is None else labels,
        **{name: answer.sources[name].file for name in MODALITIES},
        "why": "; ".join(f"{name}: {answer.sources[name].why}" for name in MODALITIES),
        "remarks": "; ".join([*remarks, *answer.remarks]),
    }


def _write_case(folder: Path, answer: CaseAnswer, note: str, labels: str) -> None:
    mask = None if answer.labels is None else renumbered(answer.labels, labels)
    for name, values in ((MASK, mask), (UNCERTAINTY, answer.uncertainty), (HEAT, answer.heat)):
        if values is not None:
            write_nifti(folder / name, values, answer.case)
    drawn = FigureFolder(folder, note and f"network trained on {note}")
    drawn.write(OVERVIEW, explanation_figure(_title(answer), answer.case, answer.maps))


def _title(answer: CaseAnswer) -> str:
    """'case7: HGG 97.3 %, unsure, unfamiliar', then the volumes."""
    graded = "not graded by this network" if answer.grade is None else f"{answer.grade} {SHARE.said(answer.confidence)}"
    flags = [name for name in ("unsure", "unfamiliar") if getattr(answer, name)]
    volumes = ", ".join(f"{REGION_NAMES[name]} {ml:.1f} ml" for name, ml in answer.volumes_ml.items())
    return f"{answer.name}: {', '.join([graded, *flags])}" + (volumes and f"\n{volumes}")
