"""Stage ablate: trains the arms of one of the paper's tables over several seeds, side by side.

Reads data/recipes/<table>.json, data/processed/, data/splits.csv, data/phantom_slices/ and data/weights/.
Writes data/ablations/<table>/: predictions.csv (validation and test images, every arm and seed), runs.csv (every arm
and seed, with the reason where one failed), history.csv, and networks/ of the arms in ablations.keep_networks.
Takes about 65 to 95 s per table in the demo on 2 cores.
Run: dvc repro ablate@fusion (or regularisation, baselines, sensitivity, lesion).
"""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from lightning_fabric import Fabric

from btlib.core.metrics.predictions import predictions_table
from btlib.core.runtime.artifacts import atomic_path, write_csv
from btlib.core.runtime.stage import run
from btlib.core.runtime.workers import make_fabric, side_by_side
from btlib.core.settings.params import load_params
from btlib.core.training.recipe import read_table
from btlib.images.nets.inference import predict
from btlib.images.nets.store import read_states, save_trained
from btlib.images.training.main import TrainingData
from btlib.images.training.study import Study, Trained, fingerprint

EMPTY_PREDICTIONS = pd.DataFrame(columns=["arm", "seed", "split", "image_id", "label"])
HISTORY = ["arm", "seed", "stage", "epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy"]


def main(recipes: Path, processed: Path, splits: Path, phantoms: Path, weights: Path, out: Path) -> None:
    p = load_params("training.devices", "training.precision")
    table = read_table(recipes)
    fabric = make_fabric(p.training.devices, p.training.precision)
    data = TrainingData(processed, splits, phantoms, fabric)
    states = read_states(weights, [name for recipe in table.arms.values() for name in recipe["backbones"]])
    study = Study(out.name, table.arms, data, states, fabric, fingerprint(data, states))
    predictions, history, runs = [EMPTY_PREDICTIONS], [], []
    with atomic_path(out) as folder:
        for done, answers in _trained(study, table.seeds, data, fabric):
            key = {"arm": done.arm, "seed": done.seed}
            history += [key | row for row in done.history]
            runs.append(key | {"failed": done.failed})
            if done.failed:
                continue
            for split, probabilities in answers.items():
                chosen = data.index.iloc[getattr(data, split)]
                part = predictions_table(chosen["image_id"], chosen["label"], probabilities, done.net.classes)
                predictions.append(pd.DataFrame(key | {"split": split}, index=part.index).join(part))
            if done.arm in table.keep_networks:
                card = {"arm": done.arm, "seed": done.seed, "recipe": done.recipe}
                save_trained(folder / "networks" / done.arm / str(done.seed), done.net, states, card)
        write_csv(folder / "predictions.csv", pd.concat(predictions, ignore_index=True))
        write_csv(folder / "runs.csv", pd.DataFrame(runs, columns=["arm", "seed", "failed"]))
        write_csv(folder / "history.csv", pd.DataFrame(history, columns=HISTORY))
    study.forget()


def _trained(study: Study, seeds: Sequence[int], data: TrainingData, fabric: Fabric) -> Iterator[tuple[Trained, dict]]:
    """Every arm and seed with its class probabilities [N, K] of each split; on a CPU, seeds share the cores."""
    train = partial(_one_seed, study=study, data=data)
    if fabric.world_size > 1:  # processes that sum gradients must take their steps in the same order
        return chain.from_iterable(map(train, seeds))
    return chain.from_iterable(side_by_side(train, seeds, cores=max(1, torch.get_num_threads() // len(seeds))))


def _one_seed(seed: int, study: Study, data: TrainingData) -> list[tuple[Trained, dict[str, np.ndarray]]]:
    trained = list(study.train([seed]))
    nets = {id(done.net): done for done in trained if not done.failed}  # arms with equal recipes share a network
    answers = {key: _answers(done, data) for key, done in nets.items()}
    return [(done, answers.get(id(done.net), {})) for done in trained]


def _answers(done: Trained, data: TrainingData) -> dict[str, np.ndarray]:
    size = done.recipe["image_size"]
    return {name: predict(done.net, data.pixels_at(size, getattr(data, name))) for name in ("val", "test")}


if __name__ == "__main__":
    run(main)
