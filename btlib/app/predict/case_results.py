"""Predicts cases and writes the results: tables, and one folder per case."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from btlib.app.predict.cases import CaseAnswer, CasePredictor
from btlib.app.scans.case_files import Found
from btlib.app.scans.results import CASES, about, refuse_filled, write_unused
from btlib.app.scans.scans import InputCase, Scans, fault_of, read_scans
from btlib.core.runtime.artifacts import atomic_path, write_csv, write_json
from btlib.core.runtime.errors import InputError, listed
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


def predict_cases(
    found: Found,
    model: Path,
    out: Path,
    resample: bool = False,
    orientation: str | None = None,
    labels: str = CANONICAL,
) -> int:
    """Predicts every case found, and writes `out` atomically.

    `out`/cases.csv and cases.json have one row per case, with the file used for each modality and why;
    `out`/unused.csv lists the files that were not used. `out`/<case>/ holds, on the grid of the case's files, the mask,
    the uncertainty (entropy of the whole tumour in nats) and Grad-CAM of the grade, and a picture. Only the grid is
    copied from the files' headers.

    Args:
        found: see `case_files.find_cases`.
        model: the folder of stage package_joint.
        out: a new or empty folder.
        resample, orientation: see `scans.read_scans`.
        labels: the numbering of the masks, a key of `btlib.volumes.data.labels.CONVENTIONS`.

    Returns:
        The number of cases.

    Raises:
        InputError: a case cannot be found or read (raised before any prediction, listing the faults of all cases), or
            `out` contains files.
    """
    refuse_filled(out)
    predictor = CasePredictor.load(model)
    read = partial(read_scans, resample=resample, orientation=orientation)
    faults = [*found.faults, *_faults(found.cases, predictor, read)]
    if faults:
        indented = [fault.replace("\n", "\n    ") for fault in faults]
        raise InputError(f"nothing was predicted because of these faults:\n{listed(indented)}")
    rows, unused = [], dict(found.unused)
    with atomic_path(out) as folder:
        for case in tqdm(found.cases, desc="predict", unit="case", mininterval=0.5):
            scans = read(case)
            answer = predictor.answer(scans)
            _write_case(folder / case.name, answer, predictor.data_note, labels)
            rows.append(_row(answer, scans.remarks, labels))
            unused |= {case.root / file: why for file, why in case.unused_beside(case.choose()).items()}
        write_csv(folder / "cases.csv", pd.DataFrame(rows))
        write_unused(folder, unused)
        names = {str(number): TISSUE[label] for number, label in numbering(labels).items()}
        rules = {"postprocessing": predictor.card["postprocessing"]}
        about_all = about(predictor.card) | rules | {"labels": names, "numbering": labels}
        write_json(folder / CASES, {"model": about_all, "cases": rows})
    for row in rows:
        if row["remarks"]:
            print(f"case {row['case']}: {row['remarks']}")
    return len(rows)


def _faults(cases: Sequence[InputCase], predictor: CasePredictor, read: Callable[[InputCase], Scans]) -> Iterator[str]:
    """Faults of the cases that cannot be predicted. Each case is read in an isolated process."""
    plan = predictor.card["preprocessing"]
    check = partial(fault_of, read=read, spacing=plan["spacing"], percentiles=plan["clip_percentiles"])
    checked = in_isolation(check, cases, "check cases", unit="case", batch=1, seconds=SECONDS)
    for case, fault in zip(cases, checked, strict=True):
        if fault:
            yield f"case {case.name}: {fault.reason}" if isinstance(fault, Lost) else fault


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
