"""Stage ablate_joint: trains the joint network and its arms over several seeds, and predicts the test cases with each.

Arms with a `grader` grade without the joint network: plain 3D CNNs, and logistic regression on features of masks.

Reads data/recipes/joint.json, data/volumes/normalized/, data/volumes/splits.csv and data/volumes/phantom_cases/.
Writes data/ablations/joint/: cases.csv (every arm, seed and test case), runs.csv (with the reason where one failed),
history.csv, modalities.csv (each choice of modalities, with and without modality dropout in training), and of the full
network voxel_errors.csv and grade_uncertainty.csv (one pass, MC dropout, the seeds as an ensemble). Dice is on the
normalised grid.
Takes about 2 min in the demo on 2 cores. Run: dvc repro ablate_joint.
"""

from pathlib import Path

import pandas as pd

from btlib.core.runtime.arm_names import FULL
from btlib.core.runtime.artifacts import atomic_path, write_csv
from btlib.core.runtime.stage import run
from btlib.core.runtime.workers import Shared
from btlib.core.settings.params import load_params
from btlib.core.training.recipe import read_table
from btlib.volumes.data.cases import Cases
from btlib.volumes.data.splits import cases_of
from btlib.volumes.data.store import load_index
from btlib.volumes.evaluation.modalities import EVERYTHING, WITHOUT, subsets_of
from btlib.volumes.evaluation.tables import CASE_SCORES, MODALITY_SCORES, RUNS
from btlib.volumes.evaluation.uncertainty import Doubts
from btlib.volumes.explain.answers import Asked, modality_scores
from btlib.volumes.explain.doubts import ensemble_doubts
from btlib.volumes.training.study import JointStudy, open_material

HISTORY = ["arm", "seed", "epoch", "train_loss", "val_loss", "val_dice", "val_grade_loss", "val_accuracy"]


def main(recipes: Path, normalized: Path, splits: Path, phantoms: Path, out: Path) -> None:
    p = load_params("seed", "training.devices", "joint.size", "joint.precision", "joint.mc_samples")
    table = read_table(recipes)
    material = Shared(open_material, normalized, splits, phantoms, p.training.devices, p.joint.precision)
    study = JointStudy(table.arms, material, p.joint.size)
    index = load_index(normalized)
    cases = Cases({normalized: cases_of(splits, index, "test")})  # faults show before training
    runs = list(study.train(table.seeds))
    if not material.value.fabric.is_global_zero:
        return  # the first process predicts and writes
    trained = [done for done in runs if not done.failed]
    asked = [Asked(d.arm, d.seed, d.net, d.window, subset, d.grader) for d in trained for subset in subsets_of(d.arm)]
    scores = modality_scores(asked, cases, index)
    members = [(done.net, done.window) for done in trained if done.arm == FULL]
    doubts = ensemble_doubts(members, cases, p.joint.mc_samples, p.seed) if members else Doubts()
    history = [{"arm": done.arm, "seed": done.seed, **row} for done in runs for row in done.history]
    with atomic_path(out) as folder:
        write_csv(folder / "cases.csv", scores.loc[scores["subset"] == EVERYTHING, CASE_SCORES])
        write_csv(folder / "runs.csv", pd.DataFrame([[d.arm, d.seed, d.failed] for d in runs], columns=RUNS))
        write_csv(folder / "history.csv", pd.DataFrame(history, columns=HISTORY))
        write_csv(folder / "modalities.csv", scores.loc[scores["arm"].isin([FULL, WITHOUT]), MODALITY_SCORES])
        write_csv(folder / "voxel_errors.csv", doubts.voxel_errors)
        write_csv(folder / "grade_uncertainty.csv", doubts.grade_uncertainty)
    study.forget()


if __name__ == "__main__":
    run(main)
