"""Stage cross_validate: scores the test images of all folds together, with intervals over patients.

Reads data/folds/predictions.csv and data/manifest.csv.
Writes metrics/cross_validation.json and data/figures/cross_validation/ (folds.png, classification.png), which is empty
with split.folds: 1.
Takes less than 1 s in the demo on 2 cores, which has one fold. Run: dvc repro cross_validate.
"""

from pathlib import Path

from btlib.core.metrics.predictions import checked_predictions, classes_in
from btlib.core.runtime.artifacts import atomic_path, read_csv, write_json
from btlib.core.runtime.reproducibility import keyed_rng
from btlib.core.runtime.stage import run
from btlib.core.settings.params import data_note, load_params
from btlib.images.data.manifest import read_manifest
from btlib.images.evaluation.cross_validation import Fold, cross_validation_metrics, pooled
from btlib.report.figures.classification import classification_figure
from btlib.report.figures.cross_validation import folds_figure
from btlib.report.figures.files import FigureFolder


def main(predictions: Path, manifest: Path, metrics: Path, figures: Path) -> None:
    p = load_params("seed", "images.source", "evaluation")
    every = read_csv(predictions, text=("split", "image_id", "label"))
    classes = classes_in(every)
    folds = {}
    for number, rows in every.groupby("fold"):
        parts = {
            name: part.drop(columns=["fold", "split"]).reset_index(drop=True) for name, part in rows.groupby("split")
        }
        origin = f"{predictions}, fold {number}"
        folds[int(number)] = Fold(*(checked_predictions(parts[name], classes, origin) for name in Fold._fields))
    rng = keyed_rng(p.seed, "bootstrap", "cross-validation")
    scores = cross_validation_metrics(
        folds, read_manifest(manifest), p.evaluation.ece_bins, p.evaluation.bootstrap, rng
    )
    write_json(metrics, scores)
    with atomic_path(figures) as folder:
        folder.mkdir()
        if folds:
            drawn = FigureFolder(folder, data_note(p.images.source))
            drawn.write("folds.png", folds_figure(scores))
            drawn.write("classification.png", classification_figure(pooled([fold.test for fold in folds.values()])))


if __name__ == "__main__":
    run(main)
