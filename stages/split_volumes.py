"""Stage split_volumes: assigns each case to training, validation or test, by patient and stratified by grade.

Reads data/volumes/manifest.csv.
Writes data/volumes/splits.csv and metrics/split_volumes.json.
Takes less than 1 s in the demo on 2 cores. Run: dvc repro split_volumes.
"""

from pathlib import Path

from btlib.core.runtime.artifacts import write_csv, write_json
from btlib.core.runtime.stage import run
from btlib.core.settings.params import load_params
from btlib.volumes.data.manifest import read_manifest
from btlib.volumes.data.splits import Fold, grade_counts, split_cases


def main(manifest: Path, out: Path, metrics: Path) -> None:
    p = load_params(
        "seed",
        "volumes.held_out",
        "volumes.folds",
        "volumes.fold",
        "volumes.phantom.share",
        "joint.segmentation",
        "joint.grading",
    )
    cases = read_manifest(manifest)
    cases["split"] = split_cases(
        cases,
        p.volumes.held_out,
        p.seed,
        segments=p.joint.segmentation,
        grades=p.joint.grading != "none",
        fold=Fold(p.volumes.fold, p.volumes.folds),
        phantoms=p.volumes.phantom.share > 0,
    )
    counts = grade_counts(cases, cases["split"].to_numpy())
    write_csv(out, cases[["case", "split"]])
    write_json(metrics, counts)
    print("\n".join(f"{name:5} {sum(grades.values()):4} {grades}" for name, grades in counts.items()))


if __name__ == "__main__":
    run(main)
