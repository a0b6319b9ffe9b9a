"""Stage train_folds: trains the main model's recipe once for each other fold, so that every image is tested once.

Reads data/recipes/main.json, data/processed/, data/manifest.csv, data/phantom_slices/, data/weights/ and, for the main
model's own fold, data/predictions/.
Writes data/folds/: predictions.csv (validation and test images of every fold), history.csv and the splits of each fold
as <fold>.csv. With split.folds: 1 the tables are empty.
A killed run goes on at the epoch it had reached.
Takes less than 1 s in the demo on 2 cores, which has one fold. Run: dvc repro train_folds.
"""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from lightning_fabric import Fabric

from btlib.core.metrics.predictions import predictions_table
from btlib.core.runtime.artifacts import atomic_path, read_csv, read_json, write_csv
from btlib.core.runtime.errors import InputError
from btlib.core.runtime.stage import run
from btlib.core.runtime.workers import make_fabric
from btlib.core.settings.params import load_params
from btlib.core.training.recipe import Recipe
from btlib.core.training.resume import ResumeState
from btlib.images.data.manifest import read_manifest
from btlib.images.data.splits import split
from btlib.images.nets.inference import predict
from btlib.images.nets.store import read_states
from btlib.images.training.main import TrainingData
from btlib.images.training.study import Study, fingerprint

ARM = "main"
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
    recipe: Recipe = read_json(recipe_file)
    images = read_manifest(manifest)
    answers, history = [pd.DataFrame(columns=PREDICTIONS)], []
    resumable: list[ResumeState] = []  # not the studies: each holds all images on its device
    with atomic_path(out) as folder:
        folder.mkdir()
        for fold in range(p.split.folds) if p.split.folds > 1 else ():
            assigned = split(images, p.split_by, p.seed, p.split.model_copy(update={"fold": fold}))
            table = folder / f"{fold}.csv"
            write_csv(table, images[["image_id"]].assign(split=assigned))
            if fold == p.split.fold:
                answers += _main_model(predictions, fold)
                continue
            fabric = make_fabric(p.training.devices, p.training.precision)
            study = _study(TrainingData(processed, table, phantoms, fabric), recipe, weights, fabric)
            print(f"fold {fold + 1} of {p.split.folds}", flush=True)
            for done in study.train([p.seed]):
                if done.failed:
                    raise InputError(f"fold {fold}: training diverged: {done.failed}. Try a smaller learning rate.")
                history += [{"fold": fold, **row} for row in done.history]
                answers += _answers(study, done.net, fold)
            resumable += study.resumable
        write_csv(folder / "predictions.csv", pd.concat(answers, ignore_index=True))
        write_csv(folder / "history.csv", pd.DataFrame(history, columns=HISTORY))
    for state in resumable:
        state.delete()


def _study(data: TrainingData, recipe: Recipe, weights: Path, fabric: Fabric) -> Study:
    states = read_states(weights, recipe["backbones"])
    return Study("folds", {ARM: recipe}, data, states, fabric, fingerprint(data, states))


def _main_model(predictions: Path, fold: int) -> Iterator[pd.DataFrame]:
    """The main model's predictions, which are those of its fold."""
    for part in ("val", "test"):
        table = read_csv(predictions / f"{part}.csv", text=("image_id", "label"))
        yield table.assign(fold=fold, split=part)


def _answers(study: Study, net, fold: int) -> Iterator[pd.DataFrame]:
    data = study.data
    for part in ("val", "test"):
        chosen = data.index.iloc[getattr(data, part)]
        probabilities = predict(net, data.pixels[getattr(data, part)])
        table = predictions_table(chosen["image_id"], chosen["label"], probabilities, net.classes)
        yield table.assign(fold=fold, split=part)


if __name__ == "__main__":
    run(main)
