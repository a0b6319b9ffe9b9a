"""Answers of several networks to corrupted test images."""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from btlib.core.metrics.predictions import predictions_table
from btlib.core.runtime.arm_names import PROPOSED
from btlib.core.runtime.artifacts import read_csv
from btlib.core.runtime.reproducibility import keyed_rng
from btlib.core.runtime.workers import Shared
from btlib.images.data.corruptions import corrupt
from btlib.images.data.preprocessing import load_processed, shrink
from btlib.images.data.splits import rows_of, sampled
from btlib.images.nets.classifier import Classifier
from btlib.images.nets.inference import predict
from btlib.images.nets.store import kept_networks, load_classifier

ARMS = {
    "regularisation": (PROPOSED, "mixup_only", "ema_only", "neither"),
    "baselines": ("plain_finetune",),
}


class Asked(NamedTuple):
    """Networks with the size of their images, by name, and the test images: uint8 [N, H, W, 3], their row numbers, and
    a table with their image_id and label."""

    models: dict[str, tuple[Classifier, int]]
    images: np.ndarray
    rows: np.ndarray
    index: pd.DataFrame


def open_asked(
    model: Path, tables: Sequence[Path], weights: Path, processed: Path, splits: Path, per_class: int, seed: int
) -> Asked:
    """The main model, the kept networks of ARMS of the first seed, and at most `per_class` images of each class.

    Args:
        tables: output folders of stage ablate, named as in ARMS.
    """
    images, index = load_processed(processed)
    test = rows_of(read_csv(splits, text=("image_id", "split")), index, "test")
    rows = sampled(test, index["label"].to_numpy(), per_class, keyed_rng(seed, "robustness"))
    models: dict[str, tuple[Classifier, int]] = {"main": (load_classifier(model), images.shape[1])}
    for folder in tables:
        for arm in ARMS[folder.name]:
            for net, card in islice(kept_networks(folder / "networks" / arm, weights), 1):
                models[arm] = (net, card["recipe"]["image_size"])
    return Asked(models, images[rows], rows, index.iloc[rows])


def answers_to(kind: tuple[str, Sequence[int]], asked: Shared[Asked], seed: int) -> pd.DataFrame:
    """A predictions table after model, corruption and severity, of all networks.

    Args:
        kind: name of a corruption, and its severities; 0 is the clean image.
    """
    models, images, rows, index = asked.value
    name, severities = kind
    # All severities at once: many small batches would take half as long again.
    changed = np.concatenate([corrupt(images, name, step, seed, rows) if step else images for step in severities])
    shown = pd.concat([index[["image_id", "label"]].assign(severity=step) for step in severities])
    tables = []
    for label, (net, size) in models.items():
        seen = changed if size == changed.shape[1] else shrink(changed, size)
        part = predictions_table(shown["image_id"], shown["label"], predict(net, seen), net.classes)
        key = {"model": label, "corruption": name, "severity": shown["severity"].to_numpy()}
        tables.append(pd.DataFrame(key, index=part.index).join(part))
    return pd.concat(tables, ignore_index=True)
