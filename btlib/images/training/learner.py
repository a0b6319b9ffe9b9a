"""Classifiers as arms: a shared frozen trunk, Mixup, focal loss."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot
from torch.nn.modules.batchnorm import _BatchNorm

from btlib.core.runtime.reproducibility import keyed_seed
from btlib.core.training.arms import Arm, ArmSettings
from btlib.core.training.focal import class_weights, focal_loss, smooth, soft_cross_entropy
from btlib.core.training.loop import Course, OnEpoch, fit, refuse_too_few
from btlib.core.training.resume import ResumeState
from btlib.images.data.resident import ResidentImages
from btlib.images.data.tumor_or_none import NONE as NO_TUMOR
from btlib.images.nets.classifier import Classifier
from btlib.images.nets.lesion import Shown, lesion_loss
from btlib.images.nets.trunk import FrozenTrunk
from btlib.images.training import augment, mixup

VALIDATION_BATCH = 64


@dataclass(frozen=True, kw_only=True)
class ClassifierSettings(ArmSettings):
    """Settings that may differ between classifiers trained on the same batches."""

    loss: str
    focal_gamma: float
    focal_alpha: str | float
    label_smoothing: float
    lesion_weight: float = 0.0


@dataclass(frozen=True)
class BatchSpec:
    """Settings shared by all arms of one call: their batches, and the frozen part of the backbones."""

    seed: int
    epochs: int
    batch_size: int
    mixup_alpha: float
    augmentation: augment.Strength
    unfreeze_fraction: float
    train_batchnorm: bool
    phantom_share: float = 0.0  # of each batch
    outlines: bool = True  # whether outlines of the images count, or those of phantoms alone
    healthy: bool = True  # whether the empty maps of images without a tumour count

    @property
    def phantoms(self) -> int:
        """Phantom slices per batch."""
        return round(self.phantom_share * self.batch_size)

    @property
    def course(self) -> Course:
        return Course(self.seed, self.epochs, self.batch_size)


class Batch(NamedTuple):
    """This process's slice of a batch: trunk features, soft targets [b, K], and its positions in the batch."""

    features: tuple[tuple[Tensor, ...], ...]
    target: Tensor
    mine: Tensor
    size: int
    lesion: Tensor  # [b, h, w] share of each cell that is lesion
    known: Tensor  # [b] whether that is known
    guided: bool  # whether the lesions guide what is read (see `Classifier.read`); else the classes alone teach the map


class Validation(NamedTuple):
    """Trunk features of the validation images, in parts, and their labels [N]."""

    features: list[tuple[Tensor, ...]]
    labels: Tensor


def train_arms(
    arms: Sequence[tuple[ClassifierSettings, Classifier]],
    data: ResidentImages,
    train_rows: np.ndarray,
    val_rows: np.ndarray,
    spec: BatchSpec,
    fabric: Fabric,
    resume: ResumeState | None = None,
    on_epoch: OnEpoch = lambda arm, row: None,
) -> list[Arm]:
    """Trains classifiers together, with one frozen forward pass per batch for all; see `loop.fit`.

    Args:
        train_rows, val_rows: row numbers in `data`.

    Returns:
        The arms in the given order. An arm whose loss became NaN or infinite has `failed` set.

    Raises:
        InputError: there are fewer training images than one batch.
    """
    refuse_too_few(len(train_rows), spec.batch_size - spec.phantoms, "batch_size", "images")
    nets = [net.to(fabric.device, memory_format=torch.channels_last) for _, net in arms]
    cuts = nets[0].cuts_for(spec.unfreeze_fraction)
    share_trunk(nets, cuts)
    # one that keeps the levels of a pyramid serves networks without a lesion head too
    richest = next((net for net in nets if net.lesion is not None), nets[0])
    trunk = FrozenTrunk(richest, cuts).to(memory_format=torch.channels_last)
    task = ClassificationTask(trunk, data, train_rows, val_rows, nets[0].classes, spec, fabric)
    counts = task.class_counts()
    learners = [ClassifierLearner(s, net, cuts, spec.train_batchnorm, counts) for s, net in arms]
    runs = [Arm(s, learner, task.steps * spec.epochs) for (s, _), learner in zip(arms, learners, strict=True)]
    fit(runs, task, spec.course, fabric, resume, on_epoch)
    return runs


class ClassificationTask:
    """Passes augmented, mixed images through the frozen trunk, once for all arms."""

    def __init__(
        self,
        trunk: FrozenTrunk,
        data: ResidentImages,
        train_rows: np.ndarray,
        val_rows: np.ndarray,
        classes: Sequence[str],
        spec: BatchSpec,
        fabric: Fabric,
    ):
        self.trunk, self.data, self.train_rows, self.spec, self.fabric = trunk, data, train_rows, spec, fabric
        self.classes = len(classes)
        self.no_tumor = classes.index(NO_TUMOR) if NO_TUMOR in classes else -1
        self.sees_lesions = bool(spec.phantoms) or (spec.outlines and data.has_lesions(train_rows))
        self.steps = len(train_rows) // (spec.batch_size - spec.phantoms)
        self.validation = Validation(self._features(val_rows), data.labels[val_rows])

    def class_counts(self) -> Tensor:
        """Images of each class [K] in an epoch, expected ones among phantoms."""
        real, phantom = (
            torch.bincount(self.data.labels[rows].cpu(), minlength=self.classes).float()
            for rows in (self.train_rows, self.data.phantom_rows)
        )
        if not self.spec.phantoms:
            return real
        return real + phantom * (self.steps * self.spec.phantoms / phantom.sum())

    def order(self, rng: np.random.Generator) -> np.ndarray:
        """The training images in random order; each batch ends with phantoms, a new choice in every epoch."""
        per_batch = self.spec.batch_size - self.spec.phantoms
        order = rng.permutation(self.train_rows)[: self.steps * per_batch].reshape(self.steps, per_batch)
        if self.spec.phantoms:
            wanted = self.steps * self.spec.phantoms
            rounds = [rng.permutation(self.data.phantom_rows) for _ in range(-(-wanted // len(self.data.phantom_rows)))]
            order = np.hstack([order, np.concatenate(rounds)[:wanted].reshape(self.steps, -1)])
        return order.ravel()

    def batch(self, rows: np.ndarray, key: tuple, mine: Tensor) -> Batch:
        """Every process makes the whole batch, since a Mixup partner may be in another process's slice."""
        images, (lesions, known) = self.data.batch(rows), self.data.lesions(rows)
        known = known & self._counts(rows)
        images, lesions = augment.augmented(images, lesions, self.spec.augmentation, key)
        pairs = mixup.draw(self.spec.mixup_alpha, len(rows), key)
        target = mixup.mix(one_hot(self.data.labels[rows], self.classes).float(), pairs)
        with self.fabric.autocast():
            features = self.trunk(mixup.mix(images, pairs)[mine])
        known = (known & (known[pairs.partner.to(known.device)] | (pairs.weight == 1).to(known.device)))[mine]
        return Batch(features, target[mine], mine, len(rows), mixup.mix(lesions, pairs)[mine], known, self.sees_lesions)

    def _counts(self, rows: np.ndarray) -> Tensor:
        """[B] whether what is known of the lesions of these images counts."""
        phantom = torch.as_tensor(rows >= self.data.n_images, device=self.data.device)
        if not self.spec.outlines:
            return phantom
        return phantom | self.spec.healthy | (self.data.labels[rows] != self.no_tumor)

    @torch.inference_mode()
    def _features(self, rows: np.ndarray) -> list[tuple[Tensor, ...]]:
        """Trunk features of the validation images, computed once since the trunk is frozen."""
        parts = np.array_split(rows, max(1, -(-len(rows) // VALIDATION_BATCH)))
        with self.fabric.autocast():
            return [self.trunk(self.data.batch(part)) for part in parts]


class ClassifierLearner:
    """A classifier behind a shared frozen trunk.

    Args:
        net: already on its device; its frozen units must equal those of the other arms.
        cuts: number of frozen leading units per backbone.
        train_batchnorm: whether BatchNorm layers after the cut are trained too; otherwise they keep their statistics.
        counts_K: training images per class, for inverse-frequency weights.
    """

    score = "accuracy"

    def __init__(
        self,
        settings: ClassifierSettings,
        net: Classifier,
        cuts: Sequence[int],
        train_batchnorm: bool,
        counts_K: Tensor,
    ):
        self.settings = settings
        self.cuts = tuple(cuts)
        self.net = net
        self.alpha_K = class_weights(settings.focal_alpha, counts_K).to(net.linear.weight.device)
        self.trained = free_tail(net, cuts, train_batchnorm)
        for tensor in self.trained.values():  # they may be shared with other arms, as the trunk of an earlier call
            tensor.data = tensor.data.clone()
        norms = [m for m in free_modules(net, cuts) if isinstance(m, _BatchNorm)]
        self.norms = norms if train_batchnorm else []

    def losses(self, batch: Batch, key: tuple) -> tuple[Tensor, Tensor]:
        """Loss [b], and the number of predictions that match the (heavier part of the) target."""
        s = self.settings
        mask = self._dropout_mask(batch.size, key)
        mask = None if mask is None else mask.to(batch.target.device)[batch.mine]
        shown = Shown(batch.lesion, batch.known)
        read = self.net.read(self.net.tail(batch.features, self.cuts), mask, shown if batch.guided else None)
        branches = read.branches.float()
        right = (branches.mean(dim=0).argmax(1) == batch.target.argmax(1)).sum()
        smoothed = smooth(batch.target, s.label_smoothing)
        # a separate loss per branch: under late fusion, each backbone trains as it would alone
        loss = torch.stack([self._loss(logits, smoothed) for logits in branches]).mean(dim=0)
        if s.lesion_weight:
            loss = loss + s.lesion_weight * lesion_loss(read.lesion.float(), batch.lesion, batch.known)
        return loss, right

    def _loss(self, logits: Tensor, smoothed: Tensor) -> Tensor:
        if self.settings.loss == "focal":
            return focal_loss(logits, smoothed, self.settings.focal_gamma, self.alpha_K)
        return soft_cross_entropy(logits, smoothed, self.alpha_K)

    def validate(self, batches: Validation) -> dict[str, float]:
        """Mean negative log-likelihood and accuracy."""
        logits = torch.cat([self.net.head(self.net.tail(part, self.cuts)).float() for part in batches.features])
        accuracy = (logits.argmax(1) == batches.labels).float().mean().item()
        return {"val_loss": cross_entropy(logits, batches.labels).item(), "val_accuracy": accuracy}

    def training_mode(self, on: bool) -> None:
        """Sets the mode of the trained BatchNorm layers; nothing else depends on it."""
        for norm in self.norms:
            norm.train(on)

    def _dropout_mask(self, batch: int, key: tuple) -> Tensor | None:
        """The keyed dropout mask [batch, fused width] for one step; None if dropout is off."""
        p = self.net.architecture.dropout
        if p == 0:
            return None
        generator = torch.Generator().manual_seed(keyed_seed(*key, self.settings.seed, "dropout"))
        return (torch.rand(batch, self.net.linear.in_features, generator=generator) >= p) / (1 - p)


def free_modules(net: Classifier, cuts: Sequence[int]) -> list[nn.Module]:
    """All modules after the cuts: tails, fusion, linear layer."""
    tops = [net.fusion, net.linear, *(part for part in (net.lesion, net.tied) if part is not None)]
    for backbone, cut in zip(net.backbones, cuts, strict=True):
        tops += backbone.units[cut:]
    return [module for top in tops for module in top.modules()]


def free_tail(net: Classifier, cuts: Sequence[int], train_batchnorm: bool) -> dict[str, Tensor]:
    """Freezes the trunk; returns name -> trained tensor (including the buffers of trained BatchNorm layers)."""
    free = set()
    for module in free_modules(net, cuts):
        if isinstance(module, _BatchNorm) and not train_batchnorm:
            continue
        free |= {id(p) for p in module.parameters(recurse=False)}
        if isinstance(module, _BatchNorm):
            free |= {id(b) for b in module.buffers(recurse=False)}
    for parameter in net.parameters():
        parameter.requires_grad_(id(parameter) in free)
    named = [*net.named_parameters(), *net.named_buffers()]
    return {name: tensor for name, tensor in named if id(tensor) in free}


def share_trunk(nets: Sequence[Classifier], cuts: Sequence[int]) -> None:
    """Makes all networks share the first one's frozen tensors, to save memory."""
    reference = nets[0]
    for net in nets[1:]:
        for own, shared, cut in zip(net.backbones, reference.backbones, cuts, strict=True):
            for mine, theirs in zip(own.units[:cut], shared.units[:cut], strict=True):
                theirs_tensors = [*theirs.parameters(), *theirs.buffers()]
                for a, b in zip([*mine.parameters(), *mine.buffers()], theirs_tensors, strict=True):
                    assert torch.equal(a, b), "arms share a trunk only when they start from the same weights"
                    a.data = b.data
