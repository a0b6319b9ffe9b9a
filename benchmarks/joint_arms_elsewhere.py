"""The arms of the 3D ablation, trained on the study's volumes, on its test cases and on cases from elsewhere.

Trains the arms of data/recipes/joint.json as stage ablate_joint does (a killed run resumes), and compares them on both
cohorts as stage compare_joint does. Nothing is chosen on the cases from elsewhere, which may be in any layout that the
pipeline reads; Dice is on the normalised grid.

Writes test/ and elsewhere/ below the output folder, each with cases.csv (every arm, seed and case), runs.csv and
scores.json.

Run, after `dvc repro check normalize_volumes split_volumes phantom_cases`:
python -m benchmarks.joint_arms_elsewhere <folder with cases> <output folder>
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from btlib.core.runtime.artifacts import write_csv, write_json
from btlib.core.runtime.reproducibility import keyed_rng
from btlib.core.runtime.workers import Shared
from btlib.core.settings.params import load_params
from btlib.core.training.recipe import read_table
from btlib.volumes.data.cases import Cases
from btlib.volumes.data.ingest import ingest
from btlib.volumes.data.normalize import write_normalized
from btlib.volumes.data.splits import cases_of
from btlib.volumes.data.store import load_index
from btlib.volumes.evaluation.ablation import joint_ablation_table
from btlib.volumes.evaluation.metrics import COMPARED
from btlib.volumes.evaluation.modalities import EVERYTHING
from btlib.volumes.evaluation.tables import CASE_SCORES, RUNS, read_case_scores, read_failures
from btlib.volumes.explain.answers import Asked, modality_scores
from btlib.volumes.training.study import JointStudy, TrainedJoint, open_material

RECIPES, NORMALIZED = Path("data/recipes/joint.json"), Path("data/volumes/normalized")
SPLITS, PHANTOMS = Path("data/volumes/splits.csv"), Path("data/volumes/phantom_cases")


def main(root: Path, out: Path) -> None:
    p = load_params("seed", "training.devices", "volumes", "joint.size", "joint.precision", "evaluation")
    with TemporaryDirectory() as folder:
        away = Path(folder) / "normalized"
        manifest, _ = ingest(root, resample=False)
        spacing, percentiles = p.volumes.spacing, p.volumes.clip_percentiles
        write_normalized(away, root, manifest, False, spacing, percentiles, Path(folder) / "finished")
        index = load_index(NORMALIZED)
        cohorts = {
            "test": (Cases({NORMALIZED: cases_of(SPLITS, index, "test")}), index),
            "elsewhere": (Cases({away: list(manifest["case"])}), manifest),
        }
        table = read_table(RECIPES)
        material = Shared(open_material, NORMALIZED, SPLITS, PHANTOMS, p.training.devices, p.joint.precision)
        study = JointStudy(table.arms, material, p.joint.size)
        runs = list(study.train(table.seeds))
        for name, (cases, known) in cohorts.items():
            write_scores(out / name, runs, cases, known)
            rng = keyed_rng(p.seed, "bootstrap", "joint", "arms")
            compare(out / name, p.evaluation.ece_bins, p.evaluation.bootstrap, rng)
    study.forget()


def write_scores(folder: Path, runs: list[TrainedJoint], cases: Cases, index: pd.DataFrame) -> None:
    """Writes cases.csv and runs.csv as stage ablate_joint does; `index`: patient and grade of each case."""
    asked = [Asked(d.arm, d.seed, d.net, d.window, EVERYTHING, d.grader) for d in runs if not d.failed]
    folder.mkdir(parents=True, exist_ok=True)
    write_csv(folder / "cases.csv", modality_scores(asked, cases, index)[CASE_SCORES])
    write_csv(folder / "runs.csv", pd.DataFrame([[d.arm, d.seed, d.failed] for d in runs], columns=RUNS))


def compare(folder: Path, bins: int, resamples: int, rng: np.random.Generator) -> None:
    """Writes scores.json and prints it as a table."""
    cohort, arms = read_case_scores(folder / "cases.csv", CASE_SCORES)
    found = joint_ablation_table(
        cohort, {arm: runs for (arm,), runs in arms.items()}, read_failures(folder / "runs.csv"), bins, resamples, rng
    )
    write_json(folder / "scores.json", found)
    print(f"\n{folder.name}: {len(cohort.cases)} cases; mean over the seeds ± sd [95 % over patients], p of the arm")
    for row in found["rows"]:
        print(f"  {row['arm']}: " + "; ".join(printed(row)))


def printed(row: dict) -> Iterator[str]:
    """Each defined score of an arm."""
    for name in COMPARED:
        if row["mean"][name] is not None:
            spread = "" if row["sd"][name] is None else f" ± {row['sd'][name]:.3f}"
            low, high = row["ci95"][name]
            p_holm = row["difference"] and row["difference"][name]["p_holm"]
            tested = "" if p_holm is None else f", p {p_holm:.3f}"
            yield f"{name} {row['mean'][name]:.3f}{spread} [{low:.3f}, {high:.3f}]{tested}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    main(args.root, args.out)
