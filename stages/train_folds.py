"""Stage train_folds: trains the main model's recipe once for each other fold, so that every image is tested once.

Reads data/recipes/main.json, data/processed/, data/manifest.csv, data/phantom_slices/, data/weights/ and, for the main
model's own fold, data/predictions/.
Writes data/folds/: predictions.csv (validation and test images of every fold), history.csv and the splits of each fold
as <fold>.csv. With split.folds: 1 the tables are empty.
A killed run goes on at the epoch it had reached.
Takes less than 1 s in the demo on 2 cores, which has one fold. Run: dvc repro train_folds.
"""

from functools import partial
from pathlib import Path

import pandas as pd
import torch

from btlib.core.runtime.artifacts import atomic_path, read_csv, read_json, write_csv
from btlib.core.runtime.stage import run
from btlib.core.runtime.workers import side_by_side
from btlib.core.settings.params import load_params
from btlib.core.training.resume import ResumeState
from btlib.images.data.manifest import read_manifest
from btlib.images.data.splits import split
from btlib.images.training.seeds import PREDICTED, Sources, train_fold

PREDICTIONS = ["fold", "split", "image_id", "label"]
HISTORY = ["fold", "stage", "epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy"]


def main(
    recipe_file: Path,
    processed: Path,
    manifest: Path,
    phantoms: Path,
    weights: Path,
    predictions: Path,
    out: Path,
) -> None:
    p = load_params("seed", "split_by", "split", "training.devices", "training.precision")
    images = read_manifest(manifest)
    folds = range(p.split.folds) if p.split.folds > 1 else ()
    answers = {p.split.fold: _main_model(predictions)} if folds else {}
    history = {}
    resumable: list[ResumeState] = []
    with atomic_path(out) as folder:
        folder.mkdir()
        for fold in folds:
            assigned = split(images, p.split_by, p.seed, p.split.model_copy(update={"fold": fold}))
            write_csv(folder / f"{fold}.csv", images[["image_id"]].assign(split=assigned))
        others = [fold for fold in folds if fold != p.split.fold]
        sources = Sources(processed, folder, phantoms, weights, p.training.devices, p.training.precision)
        train = partial(train_fold, splits=folder, recipe=read_json(recipe_file), seed=p.seed, sources=sources)
        # One after the other with all cores, unless there is a cluster.
        alone = p.training.devices > 1
        trained = map(train, others) if alone else side_by_side(train, others, cores=torch.get_num_threads())
        for fold, done in zip(others, trained, strict=True):
            history[fold], answers[fold] = done.runs[0].history, done.runs[0].predictions
            resumable += done.resumable
        tables = [table.assign(fold=fold, split=part) for fold in folds for part, table in answers[fold].items()]
        rows = [{"fold": fold, **row} for fold in others for row in history[fold]]
        tables = [pd.DataFrame(columns=PREDICTIONS), *tables]
        write_csv(folder / "predictions.csv", pd.concat(tables, ignore_index=True))
        write_csv(folder / "history.csv", pd.DataFrame(rows, columns=HISTORY))
    for state in resumable:
        state.delete()


def _main_model(predictions: Path) -> dict[str, pd.DataFrame]:
    """The main model's predictions, which are those of its fold."""
    return {part: read_csv(predictions / f"{part}.csv", text=("image_id", "label")) for part in PREDICTED}


if __name__ == "__main__":
    run(main)
