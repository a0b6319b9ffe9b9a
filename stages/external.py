"""Stage external: does the classifier find tumours on other hospitals' images, and within one patient's slices?

Reads data/external/<set>/ and data/external_arms/<set>/ of every set in params.yaml.
Writes metrics/external.json and data/figures/external/: external.png (ROC curves, and the AUC of each patient) and
<set>_worst.png (the worst errors). Sets whose table has no rows are in neither; without rows of arms, a set's scores
have no `arms`.
Takes about 2 s in the demo on 2 cores. Run: dvc repro external.
"""

import shutil
from pathlib import Path

from btlib.core.runtime.artifacts import atomic_path, write_json
from btlib.core.runtime.reproducibility import keyed_rng
from btlib.core.runtime.stage import run
from btlib.core.settings.params import data_note, load_params
from btlib.images.evaluation.external import external_scores, read_external
from btlib.images.evaluation.external_arms import arm_scores, read_arms
from btlib.report.figures.external import external_figure
from btlib.report.figures.files import FigureFolder


def main(predictions: Path, arms: Path, metrics: Path, figures: Path) -> None:
    p = load_params("seed", "images.source", "external", "evaluation.bootstrap")
    sets = {}
    for name in [one.name for one in p.external]:
        answers = read_external(predictions / name / "predictions.csv")
        if answers is not None:
            rng = keyed_rng(p.seed, "external bootstrap", name)
            sets[name] = answers, external_scores(answers, p.evaluation.bootstrap, rng)
            trained = read_arms(arms / name / "predictions.csv")
            if trained:
                rng = keyed_rng(p.seed, "external arms bootstrap", name)
                sets[name][1]["arms"] = arm_scores(trained, p.evaluation.bootstrap, rng)
    write_json(metrics, {"sets": {name: scores for name, (_, scores) in sets.items()}})
    with atomic_path(figures) as folder:
        folder.mkdir(parents=True)
        if sets:
            FigureFolder(folder, data_note(p.images.source)).write("external.png", external_figure(sets))
        for name in sets:
            worst = predictions / name / "worst.png"
            if worst.is_file():
                shutil.copyfile(worst, folder / f"{name}_worst.png")


if __name__ == "__main__":
    run(main)
