"""Stage ablate: trains the arms of one of the paper's tables over several seeds, side by side.

Reads data/recipes/<table>.json, data/processed/, data/splits.csv, data/phantom_slices/ and data/weights/.
Writes data/ablations/<table>/: predictions.csv (validation and test images, every arm and seed), runs.csv (every arm
and seed, with the reason where one failed), history.csv, and networks/ of the arms in ablations.keep_networks.
Takes about 65 to 95 s per table in the demo on 2 cores.
Run: dvc repro ablate@fusion (or regularisation, baselines, sensitivity, lesion).
"""

from functools import partial
from pathlib import Path

import pandas as pd
import torch

from btlib.core.runtime.artifacts import atomic_path, write_csv
from btlib.core.runtime.stage import run
from btlib.core.runtime.workers import Shared, side_by_side
from btlib.core.settings.params import load_params
from btlib.core.training.recipe import read_table
from btlib.images.training.seeds import Sources, open_material, parts_of, train_part
from btlib.images.training.study import fingerprint

EMPTY_PREDICTIONS = pd.DataFrame(columns=["arm", "seed", "split", "image_id", "label"])
HISTORY = ["arm", "seed", "stage", "epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy"]


def main(recipes: Path, processed: Path, splits: Path, phantoms: Path, weights: Path, out: Path) -> None:
    p = load_params("training.devices", "training.precision")
    table = read_table(recipes)
    sources = Sources(processed, splits, phantoms, weights, p.training.devices, p.training.precision)
    material = Shared(open_material, sources, [name for recipe in table.arms.values() for name in recipe["backbones"]])
    content = fingerprint(material.value.data, material.value.states)  # faults show before training
    done, resumable = {}, []
    predictions, history, runs = [EMPTY_PREDICTIONS], [], []
    with atomic_path(out) as folder:
        train = partial(
            train_part, name=out.name, table=table, material=material, content=content, networks=folder / "networks"
        )
        parts = parts_of(table)
        if material.value.fabric.world_size > 1:  # processes that sum gradients take their steps in the same order
            trained = map(train, parts)
        else:  # on a CPU, as many at once as there are seeds
            trained = side_by_side(train, parts, cores=max(1, torch.get_num_threads() // len(table.seeds)))
        for part in trained:
            done |= {(run.arm, run.seed): run for run in part.runs}
            resumable += part.resumable
        for arm, seed, steps, failed, answers in (done[arm, seed] for seed in table.seeds for arm in table.arms):
            key = {"arm": arm, "seed": seed}
            history += [key | row for row in steps]
            runs.append(key | {"failed": failed})
            for split, answer in answers.items():
                predictions.append(pd.DataFrame(key | {"split": split}, index=answer.index).join(answer))
        write_csv(folder / "predictions.csv", pd.concat(predictions, ignore_index=True))
        write_csv(folder / "runs.csv", pd.DataFrame(runs, columns=["arm", "seed", "failed"]))
        write_csv(folder / "history.csv", pd.DataFrame(history, columns=HISTORY))
    for state in resumable:
        state.delete()


if __name__ == "__main__":
    run(main)
