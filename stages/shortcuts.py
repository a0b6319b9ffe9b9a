"""Stage shortcuts: does the classifier read the lesion, or what comes with it?

Reads data/shortcuts/ (views.csv, pasted.csv, contrasts.csv), data/manifest.csv. Writes metrics/shortcuts.json,
data/figures/shortcuts/ (shortcuts.png, reading.md). Run: dvc repro shortcuts.
"""

from pathlib import Path

from btlib.artifacts import atomic_path, read_csv, write_figure, write_json
from btlib.data.classes import CLASSES
from btlib.evaluation.shortcut_figures import shortcut_figure
from btlib.evaluation.shortcuts import READING, contrast_scores, pasted_scores, view_scores
from btlib.evaluation.tables import checked_predictions
from btlib.params import data_note, load_params
from btlib.reproducibility import keyed_rng
from btlib.stage import run


def main(views: Path, pasted: Path, contrasts: Path, manifest: Path, metrics: Path, figures: Path) -> None:
    p = load_params("seed", "images.source", "evaluation.bootstrap")
    table = read_csv(views, text=("model", "view", "image_id", "label"))
    classes = [name for name in CLASSES if f"p_{name}" in table.columns]
    runs: dict = {}
    for (model, view), rows in table.groupby(["model", "view"], sort=False):
        made = checked_predictions(rows.reset_index(drop=True), classes, f"{views}, {model}, {view}")
        runs.setdefault(model, {})[view] = made
    group_of = read_csv(manifest, text=("image_id",)).set_index("image_id")["group"]
    groups = group_of[list(made.image_ids)].to_numpy()
    rng = keyed_rng(p.seed, "bootstrap", "shortcuts")
    scores = {
        "views": view_scores(runs, p.evaluation.bootstrap, rng, groups),
        "pasted": pasted_scores(read_csv(pasted, text=("image_id", "label", "pasted"))),
        "contrasts": contrast_scores(read_csv(contrasts, text=("image_id", "label", "contrast"))),
    }
    write_json(metrics, scores)
    with atomic_path(figures) as folder:
        write_figure(folder / "shortcuts.png", shortcut_figure(scores, data_note(p.images.source)))
        words = "".join(f"- {name}: {text}\n" for name, text in READING.items())
        (folder / "reading.md").write_text(words, encoding="utf-8")


if __name__ == "__main__":
    run(main)
