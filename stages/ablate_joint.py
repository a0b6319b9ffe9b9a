"""Stage ablate_joint: the joint network and its arms over seeds, beside each other; what each says of the test cases.

Reads data/recipes/joint.json, data/volumes/normalized/, data/volumes/splits.csv. Writes data/ablations/joint/:
cases.csv (every arm, seed and test case), runs.csv (with the reason where one failed), history.csv, modalities.csv
(each choice of modalities, of the full network with and without modality dropout), and of the full network
voxel_errors.csv and grade_uncertainty.csv (one pass, MC dropout, and the seeds as an ensemble). Dice is on the
normalised grid. Run: dvc repro ablate_joint.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from btlib.core.runtime.arm_names import FULL
from btlib.core.runtime.artifacts import atomic_path, write_csv
from btlib.core.runtime.devices import make_fabric
from btlib.core.runtime.stage import run
from btlib.core.runtime.threads import side_by_side
from btlib.core.settings.params import load_params
from btlib.core.training.recipe import read_table
from btlib.volumes.data.conventions import regions_of
from btlib.volumes.data.splits import cases_of
from btlib.volumes.data.store import Case, load_case, load_index
from btlib.volumes.evaluation.modalities import EVERYTHING, SUBSETS, WITHOUT
from btlib.volumes.evaluation.segmentation import dice
from btlib.volumes.evaluation.tables import CASE_SCORES, DICE, MODALITY_SCORES, RUNS
from btlib.volumes.evaluation.uncertainty import Doubts
from btlib.volumes.explain.sampling import Method, all_methods
from btlib.volumes.nets.inference import CasePrediction, labels_of, mc_samples, predict_case, stacked
from btlib.volumes.training.main import VolumeData
from btlib.volumes.training.study import JointStudy, TrainedJoint

HISTORY = ["arm", "seed", "epoch", "train_loss", "val_loss", "val_dice", "val_grade_loss", "val_accuracy"]


def main(recipes: Path, normalized: Path, splits: Path, out: Path) -> None:
    p = load_params("seed", "joint.size", "joint.precision", "joint.mc_samples")
    table = read_table(recipes)
    fabric = make_fabric(1, p.joint.precision)
    study = JointStudy(
        table.arms,
        VolumeData(normalized, splits, fabric),
        p.joint.size,
        fabric,
    )
    index = load_index(normalized).set_index("case", drop=False)
    cases = [load_case(normalized, name) for name in cases_of(splits, index.reset_index(drop=True), "test")]
    runs = list(study.train(table.seeds))
    trained = [done for done in runs if not done.failed]
    members = [done for done in trained if done.arm == FULL]
    scores = _scores(trained, cases, index)
    doubts = _doubts(members, cases, p.joint.mc_samples, p.seed) if members else Doubts()
    with atomic_path(out) as folder:
        write_csv(folder / "cases.csv", scores.loc[scores["subset"] == EVERYTHING, CASE_SCORES])
        write_csv(folder / "runs.csv", pd.DataFrame([[d.arm, d.seed, d.failed] for d in runs], columns=RUNS))
        write_csv(folder / "history.csv", _history(runs))
        write_csv(folder / "modalities.csv", scores.loc[scores["arm"].isin([FULL, WITHOUT]), MODALITY_SCORES])
        write_csv(folder / "voxel_errors.csv", doubts.voxel_errors)
        write_csv(folder / "grade_uncertainty.csv", doubts.grade_uncertainty)
    study.forget()


def _history(runs: Sequence[TrainedJoint]) -> pd.DataFrame:
    rows = [{"arm": done.arm, "seed": done.seed, **row} for done in runs for row in done.history]
    return pd.DataFrame(rows, columns=HISTORY)


def _scores(trained: Sequence[TrainedJoint], cases: Sequence[Case], index: pd.DataFrame) -> pd.DataFrame:
    """MODALITY_SCORES of every network with everything, and of FULL and WITHOUT with each choice of modalities."""
    asked = [
        (done, subset) for done in trained for subset in (SUBSETS if done.arm in (FULL, WITHOUT) else [EVERYTHING])
    ]
    parts = side_by_side(partial(_subset_scores, cases=cases, index=index), asked)
    rows = [row for part in tqdm(parts, desc="test cases", total=len(asked), leave=False) for row in part]
    return pd.DataFrame(rows, columns=MODALITY_SCORES)


def _subset_scores(asked: tuple[TrainedJoint, str], cases: Sequence[Case], index: pd.DataFrame) -> list[dict]:
    """A row for each case: its grade's probability, and the Dice of each region where the truth is known."""
    done, subset = asked
    rows = []
    for case in cases:
        found = predict_case(done.net, case, done.window, subset.split("+"))
        row = {"arm": done.arm, "seed": done.seed, "subset": subset, "case": case.name}
        row |= {"patient": index.patient[case.name], "grade": index.grade[case.name]}
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
    doubts = Doubts()
    answers = side_by_side(partial(_answers, members=members, samples=samples, seed=seed), cases)
    for case, found in zip(tqdm(cases, desc="uncertainty", unit="case"), answers, strict=True):
        doubts.add_case(case, found)
    return doubts


def _answers(case: Case, members: Sequence[TrainedJoint], samples: int, seed: int) -> dict[str, Method]:
    first, ensemble = members[0], [predict_case(member.net, case, member.window) for member in members]
    drawn = {
        "softmax": ensemble[:1],
        "mc": mc_samples(first.net, case, first.window, samples, seed),
        "ensemble": ensemble,
    }
    return all_methods({name: stacked(found) for name, found in drawn.items() if found})


if __name__ == "__main__":
    run(main)
