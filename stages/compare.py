"""Stage compare: compares the arms of one table with the proposed model and with the paper's values.

Reads data/ablations/<table>/ (predictions.csv, runs.csv), data/manifest.csv and metrics/split.json.
Writes metrics/ablation_<table>.json, data/tables/ablation_<table>.csv and data/figures/ablations/<table>/
(forest.png).
Takes about 1 s per table (sensitivity: 2 s) in the demo on 2 cores.
Run: dvc repro compare@fusion (or regularisation, baselines, sensitivity).
"""

from pathlib import Path

from btlib.core.metrics.predictions import checked_predictions, classes_in, groups_of
from btlib.core.metrics.score_table import write_scores
from btlib.core.runtime.artifacts import atomic_path, read_csv, read_json, write_json
from btlib.core.runtime.reproducibility import keyed_rng
from btlib.core.runtime.stage import run
from btlib.core.settings.params import data_note, load_params
from btlib.images.evaluation.ablation import Failed, ablation_table
from btlib.images.evaluation.headlines import ABLATION_LEVELS, ablation_headline
from btlib.report.figures.files import FigureFolder
from btlib.report.figures.forest import forest_figure
from btlib.report.figures.paper import TABLES


def main(ablation: Path, manifest: Path, split: Path, metrics: Path, scores_out: Path, figures: Path) -> None:
    p = load_params("seed", "images.source", "evaluation")
    table = figures.name
    every = read_csv(ablation / "predictions.csv", text=("arm", "split", "image_id", "label"))
    test = every[every["split"] == "test"]
    classes = classes_in(test)
    arms: dict = {}
    for run_ in read_csv(ablation / "runs.csv", text=("arm", "failed")).itertuples():
        rows = test[(test["arm"] == run_.arm) & (test["seed"] == run_.seed)].reset_index(drop=True)
        origin = f"{ablation}, arm {run_.arm}, seed {run_.seed}"
        found = Failed(run_.failed) if run_.failed else checked_predictions(rows, classes, origin)
        arms.setdefault(run_.arm, {})[run_.seed] = found
    groups = groups_of(manifest, dict.fromkeys(test["image_id"]))
    n_train = sum(read_json(split)["train"].values())
    rng = keyed_rng(p.seed, "bootstrap", table)
    settings = (n_train, p.evaluation.ece_bins, p.evaluation.bootstrap, rng, groups)
    compared = ablation_table(arms, TABLES[table], *settings) if arms else {"rows": []}
    write_json(metrics, ablation_headline(compared))
    write_scores(scores_out, {"rows": compared["rows"]}, ABLATION_LEVELS)
    with atomic_path(figures) as folder:
        folder.mkdir()
        if arms:
            drawn = FigureFolder(folder, data_note(p.images.source))
            drawn.write("forest.png", forest_figure(compared, f"Ablation: {table}"))


if __name__ == "__main__":
    run(main)
