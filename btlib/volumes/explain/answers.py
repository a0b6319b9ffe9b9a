"""Predictions of networks for cases, as rows of the evaluation's tables (`evaluation.tables`)."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from nibabel.affines import voxel_sizes
from tqdm import tqdm

from btlib.core.metrics.outlines import dice
from btlib.core.runtime.workers import side_by_side
from btlib.volumes.data.cases import of_case
from btlib.volumes.data.conventions import regions_of
from btlib.volumes.data.reading import read_case
from btlib.volumes.data.store import Case, to_native, write_nifti
from btlib.volumes.evaluation.masks import PLAIN, Postprocessing, labels_of, masks_of
from btlib.volumes.evaluation.postprocessing import OnInputGrid
from btlib.volumes.evaluation.segmentation import Outlined
from btlib.volumes.evaluation.tables import DICE, MODALITY_SCORES, PREDICTIONS
from btlib.volumes.nets.inference import CasePrediction, grade_row, predict_case
from btlib.volumes.nets.network import JointNet
from btlib.volumes.nets.plain import VolumeNet
from btlib.volumes.nets.windows import Window


class Asked(NamedTuple):
    """A network of an ablation, and its input modalities, such as t1+flair.

    grader: if given, grades each case from the network's region probabilities, as [2] of LGG and HGG. Its arm is then
    not scored as a segmentation, which is another arm's.
    """

    arm: str
    seed: int
    net: VolumeNet
    window: Window
    modalities: str
    grader: Callable[[Case, np.ndarray], np.ndarray] | None = None


def predict_cases(net: JointNet, window: Window, cases: Sequence[Case], task: str) -> list[CasePrediction]:
    """Predicts each case once; `task`: label of the progress bar."""
    one = partial(of_case, function=partial(predict_case, net, window=window), cases=cases)
    found = side_by_side(one, range(len(cases)))
    return list(tqdm(found, desc=task, total=len(cases), unit="case", mininterval=1))


def prediction_rows(index: pd.DataFrame, cases: Sequence[Case], found: Sequence[CasePrediction]) -> pd.DataFrame:
    """The table PREDICTIONS of these cases.

    Args:
        index: of the normalised cases, with patient and grade.
    """
    known = index.set_index("case")[["patient", "grade"]]
    rows = [
        {"case": case.name, **known.loc[case.name], **grade_row(prediction.grade)}
        for case, prediction in zip(cases, found, strict=True)
    ]
    return pd.DataFrame(rows, columns=PREDICTIONS)


def on_input_grid(
    cases: Sequence[Case], found: Sequence[CasePrediction], manifest: pd.DataFrame, root: Path, resample: bool
) -> Iterator[OnInputGrid]:
    """Probabilities and truth of each case on the grid of its files; nothing for a network that does not segment.

    Args:
        manifest: of the volumes, with the true segmentations below `root`.
    """
    rows = manifest.set_index("case", drop=False)
    for case, prediction in zip(tqdm(cases, desc="input grid", unit="case", mininterval=1), found, strict=True):
        if prediction.regions is not None:
            _, truth, *_ = read_case(root, rows.loc[case.name], resample)
            probabilities = to_native(prediction.regions, case)
            yield OnInputGrid(case, probabilities, None if truth is None else regions_of(truth))


def outlined(cases: Iterable[OnInputGrid], rules: Postprocessing, masks: Path) -> Iterator[Outlined]:
    """Truth and prediction of each case; also writes the predicted masks to `masks`."""
    masks.mkdir()
    for case, probabilities, truth in cases:
        labels = labels_of(probabilities, case.native_affine, rules)
        write_nifti(masks / f"{case.name}.nii.gz", labels, case)
        if truth is not None:
            raw = masks_of(probabilities, case.native_affine, PLAIN)
            yield Outlined(case.name, truth, regions_of(labels), raw, voxel_sizes(case.native_affine))


def modality_scores(asked: Sequence[Asked], cases: Sequence[Case], index: pd.DataFrame) -> pd.DataFrame:
    """The table MODALITY_SCORES: grade probability and Dice on the normalised grid, for every network and case."""
    known = index.set_index("case")[["patient", "grade"]]
    parts = side_by_side(partial(_scores, cases=cases, known=known), asked)
    rows = [row for part in tqdm(parts, desc="test cases", total=len(asked), leave=False) for row in part]
    return pd.DataFrame(rows, columns=MODALITY_SCORES)


def _scores(asked: Asked, cases: Sequence[Case], known: pd.DataFrame) -> list[dict]:
    rows = []
    for case in cases:
        found = predict_case(asked.net, case, asked.window, asked.modalities.split("+"))
        if asked.grader:
            found = CasePrediction(None, asked.grader(case, found.regions), None)
        row = {"arm": asked.arm, "seed": asked.seed, "subset": asked.modalities, "case": case.name}
        row |= {**known.loc[case.name], "p_HGG": np.nan if found.grade is None else found.grade[1]}
        rows.append(row | dict(zip(DICE, _dice(case, found), strict=True)))
    return rows


def _dice(case: Case, found: CasePrediction) -> list[float]:
    """Dice of each region; NaN if truth or prediction is missing."""
    if case.seg is None or found.regions is None:
        return [np.nan] * len(DICE)
    pairs = zip(regions_of(case.seg), masks_of(found.regions, case.affine, PLAIN), strict=True)
    return [dice(truth, predicted) for truth, predicted in pairs]
