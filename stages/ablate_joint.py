"""Stage ablate_joint: the joint network and its arms over seeds, beside each other; what each says of the test cases.

Reads data/volumes/normalized/, data/volumes/splits.csv. Writes data/ablations/joint/: cases.csv (every arm, seed and
test case), runs.csv (with the reason where one failed), history.csv, modalities.csv (each choice of modalities, of the
full network with and without modality dropout), and of the full network voxel_errors.csv and grade_uncertainty.csv
(one pass, MC dropout, and the seeds as an ensemble). Dice is on the normalised grid. Run: dvc repro ablate_joint.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from btlib.arm_names import FULL
from btlib.artifacts import atomic_path, write_csv
from btlib.data.volumes.conventions import MODALITIES, regions_of
from btlib.data.volumes.splits import cases_of
from btlib.data.volumes.store import Case, load_case, load_index
from btlib.evaluation.joint_tables import CASE_SCORES, DICE, MODALITY_SCORES, RUNS
from btlib.evaluation.modalities import SUBSETS, WITHOUT
from btlib.evaluation.segmentation import dice
from btlib.evaluation.uncertainty import Doubts
from btlib.explain.uncertainty import methods_of
from btlib.inference.volumes import CasePrediction, labels_of, mc_samples, predict_case, stacked
from btlib.nested import flatten
from btlib.params import load_params
from btlib.stage import run
from btlib.training.devices import make_fabric
from btlib.training.joint_main import VolumeData
from btlib.training.joint_study import JointStudy, TrainedJoint
from btlib.training.recipe import arms_of

HISTORY = ["arm", "seed", "epoch", "train_loss", "val_loss", "val_dice", "val_grade_loss", "val_accuracy"]


def main(normalized: Path, splits: Path, out: Path) -> None:
    p = load_params("seed", "joint")
    settings = p.joint.ablation
    recipe = flatten(p.joint)
    fabric = make_fabric(1, p.joint.precision)
    study = JointStudy(
        arms_of(recipe, settings.common or {}, settings.arms, FULL),
        VolumeData(normalized, splits, fabric),
        p.joint.size,
        fabric,
    )
    index = load_index(normalized).set_index("case", drop=False)
    cases = [load_case(normalized, name) for name in cases_of(splits, index.reset_index(drop=True), "test")]
    scores, runs, history, subsets, members = [], [], [], [], []
    for done in study.train(settings.seeds):
        key = {"arm": done.arm, "seed": done.seed}
        runs.append(key | {"failed": done.failed})
        history += [key | row for row in done.history]
        if done.failed:
            continue
        scores += _scores(key, done, cases, index, MODALITIES)
        if done.arm in (FULL, WITHOUT):
            for subset in tqdm(SUBSETS, desc=f"modalities, {done.arm}", leave=False):
                subsets += _scores(key | {"subset": subset}, done, cases, index, subset.split("+"))
        if done.arm == FULL:
            members.append(done)
    doubts = _doubts(members, cases, p.joint.mc_samples, p.seed) if members else Doubts()
    with atomic_path(out) as folder:
        write_csv(folder / "cases.csv", pd.DataFrame(scores, columns=CASE_SCORES))
        write_csv(folder / "runs.csv", pd.DataFrame(runs, columns=RUNS))
        write_csv(folder / "history.csv", pd.DataFrame(history, columns=HISTORY))
        write_csv(folder / "modalities.csv", pd.DataFrame(subsets, columns=MODALITY_SCORES))
        write_csv(folder / "voxel_errors.csv", doubts.voxel_errors)
        write_csv(folder / "grade_uncertainty.csv", doubts.grade_uncertainty)
    study.forget()


def _scores(
    key: dict, done: TrainedJoint, cases: Sequence[Case], index: pd.DataFrame, modalities: Sequence[str]
) -> list[dict]:
    """A row for each case: its grade's probability, and the Dice of each region where the truth is known."""
    rows = []
    for case in cases:
        found = predict_case(done.net, case, done.window, modalities=modalities)
        row = key | {"case": case.name, "patient": index.patient[case.name], "grade": index.grade[case.name]}
        row["p_HGG"] = np.nan if found.grade is None else found.grade[1]
        rows.append(row | dict(zip(DICE, _dice(case, found), strict=True)))
    return rows


def _dice(case: Case, found: CasePrediction) -> list[float]:
    if case.seg is None or found.regions is None:
        return [np.nan] * len(DICE)
    pairs = zip(regions_of(case.seg), regions_of(labels_of(found.regions)), strict=True)
    return [dice(truth, said) for truth, said in pairs]


def _doubts(members: Sequence[TrainedJoint], cases: Sequence[Case], samples: int, seed: int) -> Doubts:
    """One pass and MC dropout of the first seed's network, and all seeds' networks as an ensemble."""
    first, doubts = members[0], Doubts()
    for case in tqdm(cases, desc="uncertainty", unit="case"):
        brain, truth = (case.image != 0).any(axis=0), None if case.seg is None else case.seg > 0
        drawn = {
            "softmax": [predict_case(first.net, case, first.window)],
            "mc": mc_samples(first.net, case, first.window, samples, seed),
            "ensemble": [predict_case(member.net, case, member.window) for member in members],
        }
        for name, found in drawn.items():
            for method, answer in methods_of(name, *stacked(found)).items() if found else ():
                doubts.add(method, case.name, answer, truth, brain)
    return doubts


if __name__ == "__main__":
    run(main)
