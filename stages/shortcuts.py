"""Stage shortcuts: does the classifier read the lesion, or something that comes with it?

Reads data/shortcuts/ (views.csv, pasted.csv, contrasts.csv, matched.csv) and data/manifest.csv.
Writes metrics/shortcuts.json, data/tables/shortcuts.csv and data/figures/shortcuts/ (shortcuts.png).
Takes about 1 s in the demo on 2 cores. Run: dvc repro shortcuts.
"""

from pathlib import Path

from btlib.core.metrics.predictions import checked_predictions, classes_in, groups_of
from btlib.core.metrics.score_table import write_scores
from btlib.core.runtime.artifacts import atomic_path, read_csv, write_json
from btlib.core.runtime.reproducibility import keyed_rng
from btlib.core.runtime.stage import run
from btlib.core.settings.params import data_note, load_params
from btlib.images.evaluation.headlines import SHORTCUT_LEVELS, shortcut_headline
from btlib.images.evaluation.shortcuts import contrast_scores, matched_scores, pasted_scores, view_scores
from btlib.report.figures.files import FigureFolder
from btlib.report.figures.shortcuts import shortcut_figure


def main(answers: Path, manifest: Path, metrics: Path, scores_out: Path, figures: Path) -> None:
    p = load_params("seed", "images.source", "evaluation.bootstrap")
    table = read_csv(answers / "views.csv", text=("model", "view", "image_id", "label"))
    classes = classes_in(table)
    runs: dict = {}
    for (model, view), rows in table.groupby(["model", "view"], sort=False):
        made = checked_predictions(rows.reset_index(drop=True), classes, f"{answers}, {model}, {view}")
        runs.setdefault(model, {})[view] = made
    groups = groups_of(manifest, made.image_ids)
    rng = keyed_rng(p.seed, "bootstrap", "shortcuts")
    inserted = read_csv(answers / "pasted.csv", text=("image_id", "label", "pasted"))
    scores = {
        "views": view_scores(runs, p.evaluation.bootstrap, rng, groups),
        "pasted": pasted_scores(inserted, groups_of(manifest, inserted["image_id"])),
        "contrasts": contrast_scores(read_csv(answers / "contrasts.csv", text=("image_id", "label", "contrast"))),
        "matched": matched_scores(
            read_csv(answers / "matched.csv", text=("image_id", "label")),
            runs["main"]["whole"],
            p.evaluation.bootstrap,
            rng,
            groups,
        ),
    }
    write_json(metrics, shortcut_headline(scores))
    write_scores(scores_out, scores, SHORTCUT_LEVELS)
    with atomic_path(figures) as folder:
        FigureFolder(folder, data_note(p.images.source)).write("shortcuts.png", shortcut_figure(scores))


if __name__ == "__main__":
    run(main)
