"""The volumes of a study with their splits, and the training of the main joint network."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from lightning_fabric import Fabric

from btlib.core.training.arms import Arm
from btlib.core.training.loop import OnEpoch
from btlib.core.training.recipe import Recipe
from btlib.core.training.resume import ResumeState, run_hash
from btlib.core.training.single import train_single
from btlib.volumes.data.resident import ResidentVolumes
from btlib.volumes.data.splits import cases_of
from btlib.volumes.data.store import load_index
from btlib.volumes.nets.network import build_joint
from btlib.volumes.nets.store import save_joint
from btlib.volumes.training.learner import JointStream, JointTask, train_joint_arms
from btlib.volumes.training.recipe import joint_architecture, joint_settings, joint_stream


class VolumeData:
    """Normalised training and validation cases with their row numbers.

    Args:
        normalized: folder of stage normalize_volumes.
        splits: splits.csv of the volumes.
    """

    def __init__(self, normalized: Path, splits: Path, fabric: Fabric):
        index = load_index(normalized)
        names = {part: cases_of(splits, index, part) for part in ("train", "val")}
        self.resident = ResidentVolumes(normalized, names["train"] + names["val"], fabric.device)
        self.train = np.arange(len(names["train"]))
        self.val = len(self.train) + np.arange(len(names["val"]))

    def task(self, stream: JointStream) -> JointTask:
        """What networks see that are trained on the training cases and watched on the validation cases."""
        return JointTask(self.resident, self.train, self.val, stream)

    @property
    def arrays(self) -> list[np.ndarray]:
        """All that training depends on, for `run_hash`."""
        images = [case.image for case in self.resident.cases]
        masks = [np.zeros(0) if case.seg is None else case.seg for case in self.resident.cases]
        return [*images, *masks, self.resident.grades, self.train, self.val]


def train_joint(
    recipe: Recipe,
    data: VolumeData,
    normalisation: Mapping[str, Any],
    fabric: Fabric,
    out: Path,
    curves: Path,
    note: str,
) -> None:
    """Trains the main joint network and writes model, card and curves.

    Args:
        recipe: keys of section joint of params.yaml, and seed.
        normalisation: spacing and percentiles of the volumes; they travel in the card.
        note: see `train_single`.
    """
    settings, stream = joint_settings(recipe, "main"), joint_stream(recipe, recipe["size"])
    net = build_joint(joint_architecture(recipe), recipe["seed"])
    resume = ResumeState("train_joint", run_hash((settings, stream, net.architecture), data.arrays, []))

    def train(resume: ResumeState, on_epoch: OnEpoch) -> list[Arm]:
        return train_joint_arms([(settings, net)], data.task(stream), fabric, resume, on_epoch)

    def save(folder: Path, card: dict[str, Any]) -> None:
        save_joint(folder, net, stream.window, {"normalisation": dict(normalisation), **card})

    train_single("train_joint", settings, resume, train, save, "joint.learning_rate", fabric, out, curves, note)
