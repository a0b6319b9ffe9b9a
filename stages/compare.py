"""Stage compare: the arms of one table against the proposed model, and against the paper's values.

Reads data/ablations/<table>/ (predictions.csv, failed.csv), data/manifest.csv, metrics/split.json. Writes
metrics/ablation_<table>.json, data/figures/ablations/<table>/ (forest.png, table.md).
Run: dvc repro compare@fusion (or regularisation, baselines, sensitivity).
"""

from pathlib import Path

from btlib.artifacts import atomic_path, read_csv, read_json, write_figure, write_json
from btlib.data.classes import CLASSES
from btlib.evaluation.ablation import Failed, ablation_table
from btlib.evaluation.forest import ablation_markdown, forest_figure
from btlib.evaluation.paper import TABLES
from btlib.evaluation.tables import checked_predictions
from btlib.params import data_note, load_params
from btlib.reproducibility import keyed_rng
from btlib.stage import run


def main(predictions: Path, failed: Path, manifest: Path, split: Path, metrics: Path, figures: Path) -> None:
    p = load_params("seed", "images.source", "evaluation.bootstrap", "evaluation.ece_bins")
    table, note = figures.name, data_note(p.images.source)
    every = read_csv(predictions, text=("arm", "split", "image_id", "label"))
    test = every[every["split"] == "test"]
    classes = [name for name in CLASSES if f"p_{name}" in test.columns]
    arms: dict = {}
    for (arm, seed), rows in test.groupby(["arm", "seed"], sort=False):
        found = checked_predictions(rows.reset_index(drop=True), classes, f"{predictions}, arm {arm}, seed {seed}")
        arms.setdefault(arm, {})[int(seed)] = found
    for row in read_csv(failed, text=("arm", "reason")).itertuples():
        arms.setdefault(row.arm, {})[int(row.seed)] = Failed(row.reason)
    group_of = read_csv(manifest, text=("image_id",)).set_index("image_id")["group"]
    groups = group_of[list(found.image_ids)].to_numpy()
    n_train = sum(read_json(split)["train"].values())
    rng = keyed_rng(p.seed, "bootstrap", table)
    compared = ablation_table(arms, TABLES[table], n_train, p.evaluation.ece_bins, p.evaluation.bootstrap, rng, groups)
    write_json(metrics, compared)
    with atomic_path(figures) as folder:
        write_figure(folder / "forest.png", forest_figure(compared, f"Ablation: {table}", note))
        (folder / "table.md").write_text(ablation_markdown(compared) + "\n", encoding="utf-8")


if __name__ == "__main__":
    run(main)
