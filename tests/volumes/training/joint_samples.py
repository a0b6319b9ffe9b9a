"""Tiny cases and settings for training joint networks."""

import numpy as np
import pandas as pd
import torch

from btlib.core.runtime.artifacts import write_csv
from btlib.core.runtime.reproducibility import keyed_rng
from btlib.volumes.data.cubes import StoredVolumes
from btlib.volumes.data.store import Case, case_path, save_case
from btlib.volumes.nets.network import JointArchitecture
from btlib.volumes.nets.windows import Window
from btlib.volumes.training.augment import Strength
from btlib.volumes.training.learner import BatchSpec, JointSettings

ARCHITECTURE = JointArchitecture(width=8, attention=True, segmentation=True, grading="regions", dropout=0.2)
SIDE = 16
# Some biases have no gradient but rounding, and Adam makes whole steps of it: these must be small where sums may be
# added up in another order. A wrong gradient still shows, as a step in another direction.
SLOWLY = {"learning_rate": 5e-5}


def settings(**changes):
    values = {"name": "main", "seed": 0, "optimizer": "adam", "learning_rate": 5e-3, "weight_decay": 0.0}
    values |= {"schedule": "constant", "clip_norm": 1.0, "ema_decays": (0.9,), "patience": 99}
    return JointSettings(**values | {"grade_weight": 0.5, "label_smoothing": 0.05} | changes)


def spec(**changes):
    strength = Strength(0.5, 0.5, 5, 0.1, 0.05, 0.1, 0.1, 0.05, 0.1)
    values = {
        "seed": 0,
        "epochs": 2,
        "coarse_epochs": 0,
        "batch_size": 2,
        "window": Window(SIDE, SIDE),
        "augmentation": strength,
    }
    return BatchSpec(**values | changes)


def make_case(number, seg=True):
    """A bright ball; the ball of a high grade (odd numbers) has a hole."""
    rng = keyed_rng(number)
    place = np.indices((12, SIDE, 10)) - rng.uniform(4, 7, 3)[:, None, None, None]
    distance = np.sqrt((place**2).sum(0))
    labels = np.where(distance < 3.5, 2, 0)
    if number % 2:
        labels[distance < 2] = 3
    image = rng.normal(0, 0.3, (4, *labels.shape)) + 2 * (labels > 0) - 4 * (labels == 3)
    geometry = np.eye(4)
    truth = labels.astype(np.uint8) if seg else None
    return Case(f"c{number}", image.astype(np.float16), truth, geometry, geometry, labels.shape)


def write_cases(folder, grades, without_seg=()):
    """Normalised cases c0, c1, … of these grades in `folder`."""
    names = [f"c{number}" for number in range(len(grades))]
    for number, name in enumerate(names):
        save_case(case_path(folder, name), make_case(number, number not in without_seg))
    index = pd.DataFrame({"case": names, "patient": names, "grade": list(grades), "has_seg": True})
    write_csv(folder / "index.csv", index)
    return StoredVolumes({folder: names}, torch.device("cpu"))
