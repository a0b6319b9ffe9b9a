"""Stage evaluate_joint: predictions of the joint network, then every metric and figure from these tables.

Reads models/joint/, data/volumes/normalized/, data/volumes/splits.csv, and the test cases' segmentations on their own
grid (data/volumes/manifest.csv names them). Writes data/joint/predictions/ (val, test, segmentation, voxel_errors and
grade_uncertainty .csv), data/joint/masks/ (NIfTI on the input grid, labels as in conventions.py), metrics/joint3d.json,
data/figures/joint/evaluate/. Run: dvc repro evaluate_joint.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from nibabel.affines import voxel_sizes
from tqdm import tqdm

from btlib.core.runtime.artifacts import atomic_path, read_json, write_csv, write_figure, write_json
from btlib.core.runtime.network_files import CARD
from btlib.core.runtime.reproducibility import keyed_rng
from btlib.core.runtime.stage import run
from btlib.core.runtime.threads import side_by_side
from btlib.core.settings.params import data_note, load_params
from btlib.report.figures.curves import curves_figure
from btlib.report.figures.volume_scores import write_joint_figures
from btlib.volumes.data.conventions import regions_of
from btlib.volumes.data.manifest import read_manifest
from btlib.volumes.data.reading import read_case
from btlib.volumes.data.splits import cases_of
from btlib.volumes.data.store import Case, load_case, load_index, write_nifti
from btlib.volumes.evaluation.scores import joint_metrics
from btlib.volumes.evaluation.segmentation import Outlined, segmentation_table
from btlib.volumes.evaluation.tables import PREDICTIONS, read_joint_tables
from btlib.volumes.evaluation.uncertainty import Doubts
from btlib.volumes.explain.sampling import Method, all_methods
from btlib.volumes.nets.inference import CasePrediction, grade_row, mc_samples, native_labels, predict_case, stacked
from btlib.volumes.nets.network import JointNet
from btlib.volumes.nets.store import load_joint
from btlib.volumes.nets.windows import Window


def main(
    model: Path,
    normalized: Path,
    splits: Path,
    root: Path,
    manifest: Path,
    predictions: Path,
    masks: Path,
    metrics: Path,
    figures: Path,
) -> None:
    p = load_params(
        "seed",
        "volumes.source",
        "volumes.resample",
        "joint.mc_samples",
        "evaluation",
    )
    net, window = load_joint(model)
    index = load_index(normalized)
    cases = {part: [load_case(normalized, name) for name in cases_of(splits, index, part)] for part in ("val", "test")}
    seen = {
        part: list(_bar(side_by_side(partial(predict_case, net, window=window), found), part, len(found)))
        for part, found in cases.items()
    }
    doubts = _doubts(net, window, cases["test"], seen["test"], p.joint.mc_samples, p.seed)

    rows = read_manifest(manifest).set_index("case", drop=False)
    with atomic_path(predictions) as folder, atomic_path(masks) as masks_out:
        for part, found in seen.items():
            write_csv(folder / f"{part}.csv", _predictions(index, cases[part], found))
        outlined = _outlined(cases["test"], seen["test"], rows, root, p.volumes.resample, masks_out)
        write_csv(folder / "segmentation.csv", segmentation_table(outlined))
        write_csv(folder / "voxel_errors.csv", doubts.voxel_errors)
        write_csv(folder / "grade_uncertainty.csv", doubts.grade_uncertainty)

    tables, bins = read_joint_tables(predictions), p.evaluation.ece_bins
    scores = joint_metrics(tables, bins, p.evaluation.bootstrap, keyed_rng(p.seed, "bootstrap", "joint"))
    write_json(metrics, scores)
    with atomic_path(figures) as folder:
        folder.mkdir()
        note, score = data_note(p.volumes.source), "dice" if net.architecture.segmentation else "accuracy"
        write_joint_figures(folder, tables, scores, bins, note)
        write_figure(folder / "curves.png", curves_figure(read_json(model / CARD), score, note))


def _bar(cases: Iterable[Any], task: str, total: int) -> tqdm:
    return tqdm(cases, desc=task, total=total, unit="case", mininterval=1)


def _doubts(
    net: JointNet, window: Window, cases: Sequence[Case], plain: Sequence[CasePrediction], samples: int, seed: int
) -> Doubts:
    """One pass, which is there already, and MC dropout."""
    doubts = Doubts()
    asked = list(zip(cases, plain, strict=True))
    answers = side_by_side(partial(_answers, net=net, window=window, samples=samples, seed=seed), asked)
    for case, found in zip(_bar(cases, "MC dropout", len(cases)), answers, strict=True):
        doubts.add_case(case, found)
    return doubts


def _answers(
    asked: tuple[Case, CasePrediction], net: JointNet, window: Window, samples: int, seed: int
) -> dict[str, Method]:
    case, plain = asked
    drawn = {"softmax": [plain], "mc": mc_samples(net, case, window, samples, seed)}
    return all_methods({name: stacked(found) for name, found in drawn.items() if found})


def _predictions(index: pd.DataFrame, cases: list[Case], found: list[CasePrediction]) -> pd.DataFrame:
    known = index.set_index("case")[["patient", "grade"]]
    rows = [
        {"case": case.name, **known.loc[case.name], **grade_row(prediction.grade)}
        for case, prediction in zip(cases, found, strict=True)
    ]
    return pd.DataFrame(rows, columns=PREDICTIONS)


def _outlined(
    cases: list[Case], found: list[CasePrediction], rows: pd.DataFrame, root: Path, resample: bool, masks: Path
) -> Iterator[Outlined]:
    """Truth and prediction of each case on its input grid; writes the predicted masks on the way."""
    masks.mkdir()
    for case, prediction in zip(_bar(cases, "masks", len(cases)), found, strict=True):
        if prediction.regions is None:
            continue
        labels = native_labels(prediction.regions, case)
        write_nifti(masks / f"{case.name}.nii.gz", labels, case)
        _, truth, *_ = read_case(root, rows.loc[case.name], resample)
        if truth is not None:
            yield case.name, regions_of(truth), regions_of(labels), voxel_sizes(case.native_affine)


if __name__ == "__main__":
    run(main)
