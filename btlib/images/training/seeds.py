"""Trains and predicts what can run on another computer: arms of a table, or a fold of a cross-validation."""

from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from lightning_fabric import Fabric
from torch import Tensor

from btlib.core.metrics.predictions import predictions_table
from btlib.core.runtime.errors import InputError
from btlib.core.runtime.workers import Shared, make_fabric
from btlib.core.training.recipe import Recipe, Table
from btlib.core.training.resume import ResumeState
from btlib.images.nets.classifier import Classifier
from btlib.images.nets.inference import predict
from btlib.images.nets.store import read_states, save_trained
from btlib.images.training.main import TrainingData
from btlib.images.training.study import Study, Trained, fingerprint, streams_of

PREDICTED = ("val", "test")
FOLD = "main"  # the only arm of a fold


class Sources(NamedTuple):
    """What a training reads, see `TrainingData`; `weights`: output of stage weights; devices, precision: see
    `make_fabric`."""

    processed: Path
    splits: Path
    phantoms: Path
    weights: Path
    devices: int
    precision: str


class Material(NamedTuple):
    """The same in memory; `states`: backbone name -> pretrained feature state."""

    data: TrainingData
    states: dict[str, dict[str, Tensor]]
    fabric: Fabric


class Part(NamedTuple):
    """Arms of a table that share batches, see `streams_of`, and a seed."""

    seed: int
    arms: list[str]


class Run(NamedTuple):
    """An arm under a seed: its history, why it failed if it did, and its predictions of each split."""

    arm: str
    seed: int
    history: list[dict[str, Any]]
    failed: str
    predictions: dict[str, pd.DataFrame]


class Done(NamedTuple):
    """All arms of a part or fold, and the states to delete once the results are written."""

    runs: list[Run]
    resumable: list[ResumeState]


def open_material(sources: Sources, backbones: list[str]) -> Material:
    """Reads everything, and launches training."""
    fabric = make_fabric(sources.devices, sources.precision)
    data = TrainingData(sources.processed, sources.splits, sources.phantoms, fabric)
    return Material(data, read_states(sources.weights, backbones), fabric)


def parts_of(table: Table) -> list[Part]:
    """All that is to be trained, the largest parts of a seed first, so that no computer is idle at the end."""
    streams = sorted(streams_of(table.arms), key=len, reverse=True)
    return [Part(seed, arms) for seed in table.seeds for arms in streams]


def train_part(part: Part, name: str, table: Table, material: Shared[Material], content: str, networks: Path) -> Done:
    """Trains arms of a table with one seed, and predicts with them.

    Args:
        name: of the table.
        content: the `fingerprint` of the material.
        networks: folder for the networks that the table keeps, as <arm>/<seed>/.
    """
    data, states, fabric = material.value
    study = Study(name, {arm: table.arms[arm] for arm in part.arms}, data, states, fabric, content)
    trained = list(study.train([part.seed]))
    nets = {id(done.net): done for done in trained if not done.failed}  # arms with equal recipes share a network
    predicted = {key: _predictions(done.net, data, done.recipe["image_size"]) for key, done in nets.items()}
    for done in trained:
        if done.arm in table.keep_networks and not done.failed:
            card = {"arm": done.arm, "seed": done.seed, "recipe": done.recipe}
            save_trained(networks / done.arm / str(done.seed), done.net, states, card)
    return Done([_run(done, predicted.get(id(done.net), {})) for done in trained], study.resumable)


def train_fold(fold: int, splits: Path, recipe: Recipe, seed: int, sources: Sources) -> Done:
    """Trains the main model's recipe on one fold, and predicts with it.

    Args:
        splits: folder with the fold's splits as <fold>.csv, in place of those of `sources`.

    Raises:
        InputError: training diverged.
    """
    own = sources._replace(splits=splits / f"{fold}.csv")
    data, states, fabric = open_material(own, recipe["backbones"])
    print(f"fold {fold + 1}", flush=True)
    study = Study("folds", {FOLD: recipe}, data, states, fabric, fingerprint(data, states))
    (done,) = study.train([seed])
    if done.failed:
        raise InputError(f"fold {fold}: training diverged: {done.failed}. Try a smaller learning rate.")
    return Done([_run(done, _predictions(done.net, data, data.pixels.shape[1]))], study.resumable)


def _run(done: Trained, predictions: dict[str, pd.DataFrame]) -> Run:
    return Run(done.arm, done.seed, done.history, done.failed, {} if done.failed else predictions)


def _predictions(net: Classifier, data: TrainingData, size: int) -> dict[str, pd.DataFrame]:
    found = {}
    for split in PREDICTED:
        rows = getattr(data, split)
        chosen, probabilities = data.index.iloc[rows], predict(net, data.pixels_at(size, rows))
        found[split] = predictions_table(chosen["image_id"], chosen["label"], probabilities, net.classes)
    return found
