"""Joint networks as arms: regions and grade from the same augmented volumes."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from lightning_fabric import Fabric
from monai.metrics import compute_dice
from torch import Tensor
from torch.nn.functional import cross_entropy

from btlib.core.runtime.errors import InputError
from btlib.core.runtime.reproducibility import keyed_rng
from btlib.core.training.arms import Arm, ArmSettings
from btlib.core.training.focal import class_weights
from btlib.core.training.loop import Course, OnEpoch, fit, refuse_too_few
from btlib.core.training.resume import ResumeState
from btlib.volumes.data.conventions import GRADES, regions_of
from btlib.volumes.data.cubes import StoredVolumes
from btlib.volumes.nets.plain import VolumeNet
from btlib.volumes.nets.windows import Window, see_whole, shrunk
from btlib.volumes.training import augment as augment3d
from btlib.volumes.training.loss import grade_loss, segmentation_loss

NO_ROWS = np.zeros(0, int)


@dataclass(frozen=True, kw_only=True)
class JointSettings(ArmSettings):
    """Settings that may differ between joint networks trained on the same batches; grade_weight is λ."""

    grade_weight: float
    label_smoothing: float


@dataclass(frozen=True)
class BatchSpec:
    """Settings of the batches, shared by all arms of one call.

    In the first coarse_epochs, volumes have half the window's size, at which a step takes about an eighth of the time
    and the tumour can be learnt approximately (progressive resizing, as in EfficientNetV2's training).
    """

    seed: int
    epochs: int
    coarse_epochs: int
    batch_size: int
    window: Window
    augmentation: augment3d.Strength
    phantom_share: float = 0.0  # of each epoch's samples; 1: phantoms alone
    accumulate: int = 1  # parts of a batch, one after the other

    @property
    def course(self) -> Course:
        return Course(self.seed, self.epochs, self.batch_size, self.accumulate)


def drawn(phantom_share: float, cases: np.ndarray, phantoms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows of the study's training cases, and those of the phantoms, that training may draw at this share."""
    return cases if phantom_share < 1 else NO_ROWS, phantoms if phantom_share else NO_ROWS


class Batch(NamedTuple):
    """Part of a batch, as in `Cubes`, and its positions in the batch."""

    images: Tensor
    regions: Tensor
    segmented: Tensor
    grade: Tensor
    mine: Tensor
    size: int


class ValidationCase(NamedTuple):
    """One whole case: image [4, X, Y, Z] on the device, regions [3, X, Y, Z] bool or None, grade or −1."""

    image: Tensor
    regions: Tensor | None
    grade: int


class ValidationCases:
    """Whole cases one after the other, each read and moved to the device in its turn."""

    def __init__(self, data: StoredVolumes, rows: np.ndarray):
        self.data, self.rows = data, rows

    def __iter__(self) -> Iterator[ValidationCase]:
        return (_validation_case(self.data, row) for row in self.rows)


class JointTask:
    """Augmented cubes for all arms; whole cases for validation.

    An epoch is one pass over the study's training cases, with as many phantoms as their share demands, other ones in
    every epoch; at a share of 1 it is one pass over the phantoms.

    Args:
        train_rows, val_rows, phantom_rows: row numbers in `data`.
    """

    def __init__(
        self,
        data: StoredVolumes,
        train_rows: np.ndarray,
        val_rows: np.ndarray,
        spec: BatchSpec,
        phantom_rows: np.ndarray = NO_ROWS,
    ):
        self.data, self.spec, self.val_rows = data, spec, val_rows
        self.cases, self.phantoms = drawn(spec.phantom_share, train_rows, phantom_rows)
        self.validation = ValidationCases(data, val_rows)
        self.steps = spec.course.steps(self.samples)

    @property
    def samples(self) -> int:
        """Samples of an epoch."""
        return len(self.cases) + self._phantoms_per_epoch

    @property
    def train_rows(self) -> np.ndarray:
        """All rows that training may draw."""
        return np.concatenate([self.cases, self.phantoms])

    @property
    def _phantoms_per_epoch(self) -> int:
        share = self.spec.phantom_share
        return len(self.phantoms) if share == 1 else round(len(self.cases) * share / (1 - share))

    def order(self, rng: np.random.Generator) -> np.ndarray:
        """A random order of the epoch's samples."""
        if not len(self.phantoms):
            return rng.permutation(self.cases)
        count = self._phantoms_per_epoch
        passes = [rng.permutation(self.phantoms) for _ in range(math.ceil(count / len(self.phantoms)))]
        return rng.permutation(np.concatenate([self.cases, np.concatenate([NO_ROWS, *passes])[:count]]))

    def batch(self, rows: np.ndarray, key: tuple, mine: Tensor) -> Batch:
        """Draws for the whole batch, and computes only the part at the positions `mine`."""
        window, (_, epoch, _) = self.spec.window, key
        size = window.size // 2 if epoch < self.spec.coarse_epochs else window.size
        cubes = self.data.cubes(rows, window.roi_size, keyed_rng(*key, "crop"), mine.cpu().numpy())
        draws = augment3d.draw(self.spec.augmentation, len(rows), cubes.images.shape[1], key)
        small = shrunk(cubes.images, size), (shrunk(cubes.regions, size) > 0.5).float()
        images, regions = augment3d.apply(*small, draws, mine)
        return Batch(images, regions, cubes.segmented, cubes.grade, mine, len(rows))


class JointLearner:
    """A network with the joint loss, as far as it has its tasks.

    Args:
        net: already on its device.
        counts_K: training cases per grade, for the class weights.
    """

    def __init__(self, settings: JointSettings, net: VolumeNet, counts_K: Tensor, window: Window):
        self.settings = settings
        self.net = net
        self.window = window
        # A grade without cases has no loss to weight.
        self.weights_K = class_weights("inverse_frequency", counts_K.clamp_min(1)).to(next(net.parameters()).device)
        self.trained = dict(net.named_parameters())
        self.score = "dice" if net.architecture.segmentation else "accuracy"

    def losses(self, batch: Batch, key: tuple) -> tuple[Tensor, Tensor]:
        """Segmentation loss + λ · grade loss [b], each if its truth is known, and the summed score."""
        s = self.settings
        masks = self.net.dropout_masks(batch.size, (*key, s.seed))
        masks = None if masks is None else [mask.to(batch.images.device)[batch.mine] for mask in masks]
        out = self.net(batch.images, masks)
        loss = torch.zeros(len(batch.images), device=batch.images.device)
        if out.regions is not None:
            loss = loss + segmentation_loss(out.regions, out.deep, batch.regions) * batch.segmented
        if out.grade is not None:
            loss = loss + s.grade_weight * grade_loss(out.grade, batch.grade, self.weights_K, s.label_smoothing)
        if out.regions is None:
            return loss, (out.grade.argmax(1) == batch.grade).sum()
        return loss, compute_dice(out.regions.detach() > 0, batch.regions, ignore_empty=False).mean(dim=1).sum()

    def validate(self, batches: Iterable[ValidationCase]) -> dict[str, float]:
        """Mean Dice of the regions, and accuracy and log loss of the grade, on whole cases.

        `val_loss`, which determines the best epoch and early stopping, is 1 − mean Dice + λ · log loss, restricted to
        the network's tasks.
        """
        dice, grades, truth = [], [], []
        for case in batches:
            seen = see_whole(self.net, case.image, self.window)
            if seen.regions is not None and case.regions is not None:
                dice.append(compute_dice(seen.regions[None] > 0, case.regions[None], ignore_empty=False))
            if seen.grade is not None and case.grade >= 0:
                grades.append(seen.grade.float())
                truth.append(case.grade)
        found = {}
        if self.net.architecture.segmentation:
            found["val_dice"] = torch.cat(dice).mean().item()
        if self.net.architecture.grading != "none":
            logits = torch.stack(grades)
            truth = torch.tensor(truth, device=logits.device)
            found["val_grade_loss"] = cross_entropy(logits, truth).item()
            found["val_accuracy"] = (logits.argmax(1) == truth).float().mean().item()
        loss = 1 - found["val_dice"] if "val_dice" in found else 0.0
        weight = self.settings.grade_weight if "val_dice" in found else 1.0
        return {"val_loss": loss + weight * found.get("val_grade_loss", 0.0), **found}

    def training_mode(self, on: bool) -> None:
        """Does nothing: group normalisation has no statistics, and dropout masks are passed in."""


def train_joint_arms(
    arms: Sequence[tuple[JointSettings, VolumeNet]],
    task: JointTask,
    fabric: Fabric,
    resume: ResumeState | None = None,
    on_epoch: OnEpoch = lambda arm, row: None,
) -> list[Arm]:
    """Trains networks together on the same augmented volumes; see `loop.fit`.

    Raises:
        InputError: there are fewer training cases than one batch, or none for one of the tasks.
    """
    spec = task.spec
    refuse_too_few(task.samples, spec.batch_size, "joint.batch_size", "cases")
    _refuse_missing_truth(arms, task)
    grades = torch.from_numpy(task.data.grades[task.train_rows] + 1)
    counts = torch.bincount(grades, minlength=len(GRADES) + 1)[1:]
    learners = [JointLearner(s, net.to(fabric.device), counts, spec.window) for s, net in arms]
    total = task.steps * spec.epochs
    runs = [Arm(learner.settings, learner, total) for learner in learners]
    fit(runs, task, spec.course, fabric, resume, on_epoch)
    return runs


def _validation_case(data: StoredVolumes, row: int) -> ValidationCase:
    case = data.cases[row]
    regions = None if case.seg is None else torch.from_numpy(regions_of(case.seg)).to(data.device)
    image = torch.from_numpy(case.image).to(data.device).float()
    return ValidationCase(image, regions, int(data.grades[row]))


def _refuse_missing_truth(arms: Sequence, task: JointTask) -> None:
    """Raises InputError if a task cannot be trained or validated: an untrained head would still predict something."""
    data = task.data
    for part, rows in (("training", task.train_rows), ("validation", task.val_rows)):
        if any(net.architecture.segmentation for _, net in arms) and not data.segmented[rows].any():
            raise InputError(f"no {part} case has a segmentation; add some, or set joint.segmentation: false")
        lacking = [grade for number, grade in enumerate(GRADES) if number not in data.grades[rows]]
        if part == "validation" and len(task.phantoms) and len(lacking) < len(GRADES):
            continue  # a study too small for both grades here; phantoms of both are trained on
        if any(net.architecture.grading != "none" for _, net in arms) and lacking:
            raise InputError(f"no {part} case has grade {' or '.join(lacking)}; add grades, or set joint.grading: none")
