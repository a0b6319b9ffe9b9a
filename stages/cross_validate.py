"""Stage cross_validate: the answers of all folds in one table, and every score of it with intervals over patients.

Reads data/folds/predictions.csv, data/manifest.csv. Writes metrics/cross_validation.json and
data/figures/cross_validation/ (empty with split.folds: 1).
Run, after `split.folds: 5` in params.yaml: dvc repro cross_validate.
"""

from pathlib import Path

from btlib.core.metrics.predictions import checked_predictions, classes_in
from btlib.core.runtime.artifacts import atomic_path, read_csv, write_figure, write_json
from btlib.core.runtime.reproducibility import keyed_rng
from btlib.core.runtime.stage import run
from btlib.core.settings.params import data_note, load_params
from btlib.images.data.manifest import read_manifest
from btlib.images.evaluation.cross_validation import Fold, cross_validation_metrics, pooled
from btlib.report.figures.classification import classification_figure
from btlib.report.figures.cross_validation import folds_figure
from btlib.report.figures.wording import titled


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
            note = data_note(p.images.source)
            write_figure(folder / "folds.png", folds_figure(scores, titled("Accuracy of each fold", note)))
            test = pooled([fold.test for fold in folds.values()])
            write_figure(folder / "classification.png", classification_figure(test, note))


if __name__ == "__main__":
    run(main)
