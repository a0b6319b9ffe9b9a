"""Stage robustness: accuracy, ECE and sensitivity under nine corruptions at five severities, for each model.

Reads data/robustness/predictions.csv and data/manifest.csv.
Writes metrics/robustness.json, data/tables/robustness.csv and data/figures/robustness/ (accuracy.png and
sensitivity.png).
Takes about 2 s in the demo on 2 cores. Run: dvc repro robustness.
"""

from pathlib import Path

from btlib.core.metrics.predictions import groups_of
from btlib.core.metrics.score_table import write_scores
from btlib.core.runtime.artifacts import atomic_path, write_json
from btlib.core.runtime.reproducibility import keyed_rng
from btlib.core.runtime.stage import run
from btlib.core.settings.params import data_note, load_params
from btlib.images.evaluation.headlines import ROBUSTNESS_LEVELS, robustness_headline
from btlib.images.evaluation.robustness import read_runs, robustness_table
from btlib.report.figures.files import FigureFolder
from btlib.report.figures.robustness import accuracy_figure, sensitivity_figure

WORST = 3  # corruptions whose sensitivities are shown class by class


def main(predictions: Path, manifest: Path, metrics: Path, scores_out: Path, figures: Path) -> None:
    p = load_params("seed", "images.source", "evaluation")
    runs = read_runs(predictions)
    first = next(iter(next(iter(runs.values())).values()))
    groups = groups_of(manifest, first.image_ids)
    rng = keyed_rng(p.seed, "bootstrap", "robustness")
    table = robustness_table(runs, p.evaluation.ece_bins, p.evaluation.bootstrap, rng, groups)
    scores = {"n_test": len(first.labels), "models": table["models"]}
    write_json(metrics, robustness_headline(scores))
    write_scores(scores_out, scores, ROBUSTNESS_LEVELS)
    with atomic_path(figures) as folder:
        drawn = FigureFolder(folder, data_note(p.images.source))
        drawn.write("accuracy.png", accuracy_figure(table))
        drawn.write("sensitivity.png", sensitivity_figure(table, WORST))


if __name__ == "__main__":
    run(main)
