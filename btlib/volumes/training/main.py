"""The study's volumes with their splits, and training of the main joint network."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from lightning_fabric import Fabric
from pydantic import BaseModel

from btlib.core.runtime.artifacts import atomic_path
from btlib.core.runtime.errors import InputError
from btlib.core.runtime.network_files import TENSORS, read_described
from btlib.core.training.card import training_card
from btlib.core.training.curves import live_curves
from btlib.core.training.recipe import Recipe
from btlib.core.training.resume import ResumeState, run_hash
from btlib.volumes.data.cubes import StoredVolumes
from btlib.volumes.data.splits import cases_of
from btlib.volumes.data.store import load_index
from btlib.volumes.nets.network import JointNet, build_joint
from btlib.volumes.nets.store import load_joint, save_joint
from btlib.volumes.training.learner import BatchSpec, JointTask, train_joint_arms
from btlib.volumes.training.recipe import batch_spec, joint_architecture, joint_settings

FREE = ("dropout", "flip_tta")  # no layer depends on them


class Spacing(BaseModel):
    """What a network must have in common with the one that it starts from."""

    spacing: float


class Started(BaseModel):
    """Fields that the card of such a network needs beside its architecture."""

    normalisation: Spacing


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
    recipe: Recipe,
    data: VolumeData,
    normalization: Mapping[str, Any],
    fabric: Fabric,
    out: Path,
    curves: Path,
    start: Path | None = None,
) -> None:
    """Trains the main joint network and writes model, card and curves.

    Args:
        recipe: keys of section joint of params.yaml, seed and phantom_share.
        normalization: spacing and percentiles of the volumes, for the card.
        out: folder for model.safetensors and card.json.
        curves: folder for DVCLive's files.
        start: folder of a trained joint network whose weights training starts from.

    Raises:
        InputError: training diverged, or `start` is missing, damaged or another kind of network; nothing is written.
    """
    settings, spec = joint_settings(recipe, "main"), batch_spec(recipe, recipe["size"])
    net = build_joint(joint_architecture(recipe), recipe["seed"])
    if start:
        _take_weights(net, start, normalization)
    files = [start / TENSORS] if start else []
    resume = ResumeState("train_joint", run_hash((settings, spec, net.architecture), data.arrays, files))
    with live_curves(curves, fabric.is_global_zero) as on_epoch:
        arms = train_joint_arms([(settings, net)], data.task(spec), fabric, resume, on_epoch)
    origin = {"start": _digest(start / TENSORS)} if start else {}
    card = training_card("train_joint", settings, arms, "joint.learning_rate")
    if fabric.is_global_zero:
        with atomic_path(out) as folder:
            save_joint(folder, net, spec.window, {"normalisation": dict(normalization), **origin, **card})
        resume.delete()


def _take_weights(net: JointNet, start: Path, normalization: Mapping[str, Any]) -> None:
    """Fills the network with the weights in `start`, if it has the same layers and saw volumes of the same voxels.

    Raises:
        InputError: it is missing, damaged, or differs in one of these.
    """
    if not start.is_dir():
        raise InputError(
            f"joint.start: {start} is not a folder; name one with {TENSORS} and card.json, or set it to null"
        )
    other, _ = load_joint(start)
    found = other.architecture._asdict() | read_described(start, Started).normalisation.model_dump()
    wanted = net.architecture._asdict() | {"spacing": normalization["spacing"]}
    unlike = [
        f"{key}: {found[key]}, here {value}" for key, value in wanted.items() if key not in FREE and found[key] != value
    ]
    if unlike:
        raise InputError(
            f"joint.start: {start} holds another kind of network ({'; '.join(unlike)}); set these in params.yaml as "
            "there, or start from another one"
        )
    net.load_state_dict(other.state_dict())
    print(f"training starts from the weights in {start}", flush=True)


def _digest(path: Path) -> str:
    return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
