"""The study's volumes with their splits, and training of the main joint network."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from lightning_fabric import Fabric

from btlib.core.runtime.artifacts import atomic_path
from btlib.core.training.card import training_card
from btlib.core.training.curves import live_curves
from btlib.core.training.recipe import Recipe
from btlib.core.training.resume import ResumeState, run_hash
from btlib.volumes.data.cubes import StoredVolumes
from btlib.volumes.data.splits import cases_of
from btlib.volumes.data.store import load_index
from btlib.volumes.nets.network import build_joint
from btlib.volumes.nets.store import save_joint
from btlib.volumes.training.learner import BatchSpec, JointTask, train_joint_arms
from btlib.volumes.training.recipe import batch_spec, joint_architecture, joint_settings


class VolumeData:
    """Normalised training and validation cases with their row numbers and patients.

    Args:
        normalized: output folder of stage normalize_volumes.
        splits: splits.csv of the volumes.
        phantoms: output folder of stage phantom_cases.
    """

    def __init__(self, normalized: Path, splits: Path, phantoms: Path, fabric: Fabric):
        index = load_index(normalized)
        names = {part: cases_of(splits, index, part) for part in ("train", "val")}
        cases, made = names["train"] + names["val"], list(load_index(phantoms)["case"])
        self.volumes = StoredVolumes({normalized: cases, phantoms: made}, fabric.device)
        self.train = np.arange(len(names["train"]))
        self.val = len(self.train) + np.arange(len(names["val"]))
        self.phantoms = len(cases) + np.arange(len(made))
        patients = index.set_index("case")["patient"]
        self.patients = np.array([*patients[cases], *made])

    def task(self, spec: BatchSpec) -> JointTask:
        """The task of training on the training cases and validating on the validation cases."""
        return JointTask(self.volumes, self.train, self.val, spec, self.phantoms)

    @property
    def arrays(self) -> list[np.ndarray]:
        """All data that training depends on, for `run_hash`: the cases by their checksums, since reading all voxels of
        a large set takes minutes."""
        return [self.volumes.cases.checksums, self.volumes.grades, self.train, self.val, self.phantoms]


def train_joint(
    recipe: Recipe, data: VolumeData, normalization: Mapping[str, Any], fabric: Fabric, out: Path, curves: Path
) -> None:
    """Trains the main joint network and writes model, card and curves.

    Args:
        recipe: keys of section joint of params.yaml, seed and phantom_share.
        normalization: spacing and percentiles of the volumes, for the card.
        out: folder for model.safetensors and card.json.
        curves: folder for DVCLive's files.

    Raises:
        InputError: training diverged; nothing is written.
    """
    settings, spec = joint_settings(recipe, "main"), batch_spec(recipe, recipe["size"])
    net = build_joint(joint_architecture(recipe), recipe["seed"])
    resume = ResumeState("train_joint", run_hash((settings, spec, net.architecture), data.arrays, []))
    with live_curves(curves, fabric.is_global_zero) as on_epoch:
        arms = train_joint_arms([(settings, net)], data.task(spec), fabric, resume, on_epoch)
    card = training_card("train_joint", settings, arms, "joint.learning_rate")
    if fabric.is_global_zero:
        with atomic_path(out) as folder:
            save_joint(folder, net, spec.window, {"normalisation": dict(normalization), **card})
        resume.delete()
