"""Predictions of an ablation table's kept networks for another hospital's data set."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from btlib.core.runtime.artifacts import read_csv
from btlib.images.data.external import refuse_without_none
from btlib.images.data.preprocessing import shrink
from btlib.images.data.sources.entry import Entry
from btlib.images.nets.inference import predict
from btlib.images.nets.store import kept_networks

COLUMNS = ("arm", "seed", "path", "label", "patient")


def kept_arms(ablation: Path) -> list[str]:
    """The arms with at least one kept network, in the table's order; none if the table is switched off.

    Args:
        ablation: folder of stage ablate.
    """
    runs = read_csv(ablation / "runs.csv", text=("arm", "failed"))
    return [arm for arm in runs["arm"].unique() if (ablation / "networks" / arm).is_dir()]


def no_predictions() -> pd.DataFrame:
    """The table without rows, for a set that is left out or an ablation that keeps no network."""
    return pd.DataFrame(columns=list(COLUMNS))


def arm_predictions(
    name: str, entries: Sequence[Entry], squares: np.ndarray, ablation: Path, weights: Path
) -> pd.DataFrame:
    """Predicts every image with every kept network, at the image size that the network was trained with.

    Args:
        name: of the set, for messages.
        entries: N images, from `external_images`.
        squares: the same images, preprocessed, uint8 [N, S, S, 3], S being image_size of params.yaml.
        ablation: folder of stage ablate.
        weights: output of stage weights.

    Returns:
        A row per arm, seed and image: COLUMNS (patient '' if unknown) and p_<class>, uncalibrated, for each class.

    Raises:
        InputError: a network does not know the class 'no tumour', or is damaged.
    """
    parts = []
    for arm in kept_arms(ablation):
        for net, card in kept_networks(ablation / "networks" / arm, weights):
            refuse_without_none(net.classes, name)
            size = card["recipe"]["image_size"]
            probabilities = predict(net, squares if size == squares.shape[1] else shrink(squares, size))
            rows = pd.DataFrame([(arm, card["seed"], e.path, e.label, e.patient) for e in entries], columns=COLUMNS)
            parts.append(rows.assign(**{f"p_{one}": probabilities[:, k] for k, one in enumerate(net.classes)}))
    return pd.concat(parts, ignore_index=True) if parts else no_predictions()
