"""Trains a list of arms over one shared frozen trunk."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot
from tqdm import tqdm

from btlib.data.resident import ResidentImages
from btlib.errors import InputError
from btlib.nets.classifier import Classifier
from btlib.nets.trunk import FrozenTrunk
from btlib.reproducibility import keyed_rng
from btlib.training import augment, mixup
from btlib.training.arms import Arm, ArmSettings, share_trunk
from btlib.training.resume import ResumeState

VALIDATION_BATCH = 64
CHECK_EVERY = 20  # steps between looks at the loss; each look waits for the device


@dataclass(frozen=True)
class Stream:
    """What all arms of one call share: the batches that they see and the part of the backbones that is frozen."""

    seed: int
    epochs: int
    batch_size: int
    mixup_alpha: float
    augmentation: augment.Strength
    unfreeze_fraction: float
    train_batchnorm: bool


def train_arms(
    arms: Sequence[tuple[ArmSettings, Classifier]],
    data: ResidentImages,
    train_rows: np.ndarray,
    val_rows: np.ndarray,
    stream: Stream,
    fabric: Fabric,
    resume: ResumeState | None = None,
    on_epoch: Callable[[str, dict[str, Any]], None] = lambda arm, row: None,
) -> list[Arm]:
    """Trains every arm; each ends with the weights of the best validation epoch of its first readout.

    One frozen forward per batch serves all arms. Each arm has its own backward pass, clipping, optimiser, schedule,
    averages, early stop and dropout, so an arm's numbers do not depend on which others train beside it (bit-equal on
    CPU).

    Args:
        train_rows, val_rows: row numbers into `data`.
        fabric: device, precision and processes; with several processes each takes its slice of every batch.
        resume: where to keep the state after each epoch, and to go on from.
        on_epoch: called with (arm name, history row of its first readout) after each epoch, also for epochs restored
            from `resume`.

    Returns:
        The arms in the order given. An arm whose loss became NaN or infinite has `failed` set.

    Raises:
        InputError: fewer training images than one batch.
    """
    if len(train_rows) < stream.batch_size:
        raise InputError(
            f"batch_size: {stream.batch_size} is more than the {len(train_rows)} training images; make it smaller"
        )
    steps = len(train_rows) // stream.batch_size  # the ragged last batch is left out; the order changes every epoch
    runs = _make_arms(arms, data, train_rows, stream, steps, fabric)
    trunk = FrozenTrunk(runs[0].net, runs[0].cuts).to(memory_format=torch.channels_last)
    validation = _trunk_features(trunk, data, val_rows, fabric)
    first = _restore(runs, resume, on_epoch)
    for epoch in range(first, stream.epochs):
        if not any(arm.running for arm in runs):
            break
        sums = _train_epoch(runs, trunk, data, train_rows, stream, epoch, steps, fabric)
        for arm in [arm for arm in runs if arm.running]:
            loss, correct = sums[arm.settings.name]
            seen = steps * stream.batch_size
            row = {"epoch": epoch, "train_loss": loss / seen, "train_accuracy": correct / seen}
            _close_epoch(arm, row, validation, data.labels[val_rows], fabric)
            if not arm.failed:
                on_epoch(arm.settings.name, arm.readouts[0].progress.history[-1])
        if resume and fabric.is_global_zero:
            finished = epoch + 1 == stream.epochs or not any(arm.running for arm in runs)
            _save(runs, resume, epoch + 1, finished)
    for arm in runs:
        arm.restore(arm.readouts[0])
    return runs


def refuse_failed(arm: Arm) -> None:
    """Raises InputError when the arm has diverged; for a caller whose only arm it is."""
    if arm.failed:
        raise InputError(
            f"training diverged ({arm.settings.name}: {arm.failed}). Try a smaller lr_stage1 or lr_stage2; "
            "nothing was written."
        )


def _make_arms(arms, data, train_rows, stream, steps, fabric) -> list[Arm]:
    nets = [net.to(fabric.device, memory_format=torch.channels_last) for _, net in arms]
    cuts = nets[0].cuts_for(stream.unfreeze_fraction)
    share_trunk(nets, cuts)
    counts = torch.bincount(data.labels[train_rows].cpu(), minlength=len(nets[0].classes))
    settings = [s for s, _ in arms]
    total = steps * stream.epochs
    return [Arm(s, net, cuts, stream.train_batchnorm, counts, total) for s, net in zip(settings, nets, strict=True)]


def _train_epoch(runs, trunk, data, train_rows, stream, epoch, steps, fabric) -> dict[str, tuple[float, float]]:
    """One pass over the training images; returns arm name -> (summed loss, number right)."""
    order = keyed_rng(stream.seed, epoch, "order").permutation(train_rows)
    sums = {arm.settings.name: torch.zeros(2, device=fabric.device) for arm in runs}
    for arm in runs:
        arm.training_mode(True)
    bar = tqdm(range(steps), desc=f"epoch {epoch + 1}/{stream.epochs}", disable=not fabric.is_global_zero, leave=False)
    for step in bar:
        rows = order[step * stream.batch_size : (step + 1) * stream.batch_size]
        images, target = _batch(data, rows, stream, (stream.seed, epoch, step), len(runs[0].net.classes))
        mine = torch.tensor_split(torch.arange(len(rows)), fabric.world_size)[fabric.global_rank].to(fabric.device)
        with fabric.autocast():
            features = trunk(images[mine])
        for arm in runs:
            if arm.running:
                sums[arm.settings.name] += _arm_step(arm, features, target, mine, (stream.seed, epoch, step), fabric)
        if step % CHECK_EVERY == 0 or step == steps - 1:
            _look(runs, sums, bar, epoch, (step + 1) * stream.batch_size)
    for arm in runs:
        arm.training_mode(False)
    return {name: tuple(s.tolist()) for name, s in sums.items()}


def _batch(data, rows, stream, key, n_classes) -> tuple[Tensor, Tensor]:
    """The augmented, mixed global batch: images [B, 3, H, W] and soft targets [B, K].

    Every process makes the whole batch, since a Mixup partner may lie in another one's slice.
    """
    images = augment.apply(data.batch(rows), augment.draw(stream.augmentation, len(rows), key))
    pairs = mixup.draw(stream.mixup_alpha, len(rows), key)
    target = one_hot(data.labels[rows], n_classes).float()
    return mixup.mix(images, pairs), mixup.mix(target, pairs)


def _arm_step(arm, features, target, mine, key, fabric) -> Tensor:
    """Forward, backward and update of one arm on this process's slice; returns (summed loss, number right)."""
    keep = arm.dropout_mask(len(target), key)
    with fabric.autocast():
        losses, logits = arm.loss(features, target[mine], None if keep is None else keep.to(fabric.device)[mine])
    (losses.sum() / len(target)).backward()
    if fabric.world_size > 1:
        _sum_gradients(arm, fabric)
    right = (logits.argmax(1) == target[mine].argmax(1)).sum()
    tally = torch.stack([losses.detach().sum(), right.float()])
    arm.step()
    return fabric.all_reduce(tally, reduce_op="sum") if fabric.world_size > 1 else tally


def _sum_gradients(arm: Arm, fabric: Fabric) -> None:
    gradients = [p.grad for group in arm.optimizer.param_groups for p in group["params"]]
    flat = fabric.all_reduce(torch.cat([g.flatten() for g in gradients]), reduce_op="sum")
    for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))


def _look(runs, sums, bar, epoch, seen) -> None:
    """Shows the loss, and takes arms out whose loss is no longer finite; the others go on untouched."""
    for arm in runs:
        total = sums[arm.settings.name][0].item()
        if arm.running and not np.isfinite(total):
            arm.failed = f"the loss became {total} in epoch {epoch + 1}"
    rows = [row for arm in runs for readout in arm.readouts for row in readout.progress.history]
    best = max((row["val_accuracy"] for row in rows), default=float("nan"))
    loss = sums[runs[0].settings.name][0].item() / seen
    bar.set_postfix(loss=f"{loss:.4f}", val_accuracy=f"{best:.4f}")


@torch.inference_mode()
def _trunk_features(
    trunk: FrozenTrunk, data: ResidentImages, rows: np.ndarray, fabric: Fabric
) -> list[tuple[Tensor, ...]]:
    """What the frozen trunk makes of the validation images; computed once, since it never changes."""
    parts = np.array_split(rows, max(1, -(-len(rows) // VALIDATION_BATCH)))
    with fabric.autocast():
        return [trunk(data.batch(part)) for part in parts]


@torch.inference_mode()
def _close_epoch(arm: Arm, row: dict, features: list[tuple[Tensor, ...]], labels: Tensor, fabric: Fabric) -> None:
    """Validates each average that is still watched: mean negative log-likelihood and accuracy."""
    for readout in [readout for readout in arm.readouts if not readout.progress.stopped]:
        with readout.ema.applied(), fabric.autocast():
            logits = torch.cat([arm.net.head(arm.net.tail(part, arm.cuts)).float() for part in features])
        loss = cross_entropy(logits, labels).item()
        if not np.isfinite(loss):
            arm.failed = f"the validation loss became {loss} in epoch {row['epoch'] + 1}"
            return
        accuracy = (logits.argmax(1) == labels).float().mean().item()
        readout.close_epoch(row | {"val_loss": loss, "val_accuracy": accuracy})


def _save(runs: Sequence[Arm], resume: ResumeState, epoch: int, finished: bool) -> None:
    tensors = {f"{number}:{name}": t for number, arm in enumerate(runs) for name, t in arm.state(finished).items()}
    resume.save(tensors, {"epoch": epoch, "arms": [arm.plain_state() for arm in runs]})


def _restore(runs: Sequence[Arm], resume: ResumeState | None, on_epoch: Callable) -> int:
    """Puts saved state back into the arms; returns the epoch to go on with."""
    found = resume.load() if resume else None
    if found is None:
        return 0
    tensors, state = found
    for number, arm in enumerate(runs):
        prefix = f"{number}:"
        own = {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
        arm.load_state(own, state["arms"][number])
        for row in arm.readouts[0].progress.history:
            on_epoch(arm.settings.name, row)
    return state["epoch"]
