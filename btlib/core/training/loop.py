"""Trains a list of arms on the same batches, for any task; resumable after each epoch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor
from tqdm import tqdm

from btlib.core.runtime.errors import InputError
from btlib.core.runtime.reproducibility import keyed_rng
from btlib.core.training.arms import Arm
from btlib.core.training.resume import ResumeState, SavedRun

CHECK_EVERY = 20  # steps between checks of the loss; each check waits for the device

OnEpoch = Callable[[str, dict[str, Any]], None]


@dataclass(frozen=True)
class Course:
    """Length of training, and the seed of the sample order.

    Each process computes its slice of a batch in `accumulate` parts: the same gradients, with less memory.
    """

    seed: int
    epochs: int
    batch_size: int
    accumulate: int = 1

    def steps(self, samples: int) -> int:
        """Steps per epoch: an incomplete last batch is dropped."""
        return samples // self.batch_size


class Task(Protocol):
    """Data shared by all arms of one call."""

    steps: int  # per epoch
    validation: Any  # passed to each learner's `validate`

    def order(self, rng: np.random.Generator) -> np.ndarray:
        """Row numbers of one epoch's samples, batch after batch."""

    def batch(self, rows: np.ndarray, key: tuple, mine: Tensor) -> Any:
        """The parts of a batch that all arms share, drawn by `key` (seed, epoch, step).

        Args:
            mine: positions in the batch that this process computes at once.
        """


def fit(
    arms: Sequence[Arm],
    task: Task,
    course: Course,
    fabric: Fabric,
    resume: ResumeState | None = None,
    on_epoch: OnEpoch = lambda arm, row: None,
) -> None:
    """Trains every arm; each ends with the weights of the epoch kept by its first readout (see `Readout`).

    Shared work is computed once per batch. Each arm has its own backward pass, clipping, optimiser, schedule, averages,
    early stopping and dropout, so its results do not depend on the arms trained with it (bit-equal on CPU). An arm
    whose loss becomes NaN or infinite has `failed` set, and the others continue.

    Args:
        fabric: device, precision and processes; each of several processes takes its slice of every batch.
        resume: saves the state after each epoch, and restores it at the start.
        on_epoch: called with (arm name, history row of its first readout) after each epoch, also for epochs restored
            from `resume`.
    """
    first = _restore(arms, resume, on_epoch)
    for epoch in range(first, course.epochs):
        if not any(arm.running for arm in arms):
            break
        sums = _train_epoch(arms, task, course, epoch, fabric)
        for arm in [arm for arm in arms if arm.running]:
            loss, score = sums[arm.settings.name]
            seen = task.steps * course.batch_size
            row = {"epoch": epoch, "train_loss": loss / seen, f"train_{arm.learner.score}": score / seen}
            _close_epoch(arm, row, task.validation, fabric)
            if not arm.failed:
                on_epoch(arm.settings.name, arm.readouts[0].progress.history[-1])
        if resume and fabric.is_global_zero:
            finished = epoch + 1 == course.epochs or not any(arm.running for arm in arms)
            _save(arms, resume, epoch + 1, finished)
    for arm in arms:
        arm.restore(arm.readouts[0])


def refuse_too_few(samples: int, batch_size: int, key: str, noun: str) -> None:
    """Raises InputError if the training samples do not fill one batch; `key`: of the batch size in params.yaml."""
    if samples < batch_size:
        raise InputError(f"{key}: {batch_size} is more than the {samples} training {noun}; reduce it")


def refuse_failed(arm: Arm, rates: str) -> None:
    """Raises InputError if a caller's only arm has diverged.

    Args:
        rates: keys of its learning rates in params.yaml.
    """
    if arm.failed:
        raise InputError(
            f"training diverged ({arm.settings.name}: {arm.failed}). Try a smaller {rates}; nothing was written."
        )


def _train_epoch(arms, task, course, epoch, fabric) -> dict[str, tuple[float, float]]:
    """One pass over the training samples; returns arm name -> (summed loss, summed score)."""
    order = task.order(keyed_rng(course.seed, epoch, "order"))
    sums = {arm.settings.name: torch.zeros(2, device=fabric.device) for arm in arms}
    for arm in arms:
        arm.learner.training_mode(True)
    bar = tqdm(
        range(task.steps), desc=f"epoch {epoch + 1}/{course.epochs}", disable=not fabric.is_global_zero, leave=False
    )
    for step in bar:
        key = (course.seed, epoch, step)
        rows = order[step * course.batch_size : (step + 1) * course.batch_size]
        mine = torch.tensor_split(torch.arange(len(rows)), fabric.world_size)[fabric.global_rank].to(fabric.device)
        parts = [task.batch(rows, key, part) for part in torch.tensor_split(mine, course.accumulate)]
        for arm in arms:
            if arm.running:
                sums[arm.settings.name] += _arm_step(arm, parts, len(rows), key, fabric)
        if step % CHECK_EVERY == 0 or step == task.steps - 1:
            _drop_diverged(arms, sums, bar, epoch, (step + 1) * course.batch_size)
    for arm in arms:
        arm.learner.training_mode(False)
    return {name: tuple(s.tolist()) for name, s in sums.items()}


def _arm_step(arm: Arm, parts: Sequence[Any], size: int, key: tuple, fabric: Fabric) -> Tensor:
    """Forward and backward of one arm for each part of this process's slice, then one update.

    Returns:
        (summed loss, summed score) of the batch.
    """
    tally = torch.zeros(2, device=fabric.device)
    for part in parts:
        with fabric.autocast():
            losses, score = arm.learner.losses(part, key)
        (losses.sum() / size).backward()
        tally += torch.stack([losses.detach().sum(), score.float()])
    if fabric.world_size > 1:
        _sum_gradients(arm, fabric)
    arm.step()
    return fabric.all_reduce(tally, reduce_op="sum") if fabric.world_size > 1 else tally


def _sum_gradients(arm: Arm, fabric: Fabric) -> None:
    parameters = [p for group in arm.optimizer.param_groups for p in group["params"]]
    gradients = [p.grad for p in parameters if p.grad is not None]  # timm's networks have parameters without a use
    flat = fabric.all_reduce(torch.cat([g.flatten() for g in gradients]), reduce_op="sum")
    for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))


def _drop_diverged(arms, sums, bar, epoch, seen) -> None:
    """Marks arms with a non-finite loss as failed, and shows the loss in the progress bar."""
    for arm in arms:
        total = sums[arm.settings.name][0].item()
        if arm.running and not np.isfinite(total):
            arm.failed = f"the loss became {total} in epoch {epoch + 1}"
    shown = f"val_{arms[0].learner.score}"
    rows = [row for arm in arms for readout in arm.readouts for row in readout.progress.history]
    best = max((row[shown] for row in rows if shown in row), default=float("nan"))
    loss = sums[arms[0].settings.name][0].item() / seen
    bar.set_postfix({"loss": f"{loss:.4f}", shown: f"{best:.4f}"})


@torch.inference_mode()
def _close_epoch(arm: Arm, row: dict, validation: Any, fabric: Fabric) -> None:
    """Validates each average that has not stopped."""
    for readout in [readout for readout in arm.readouts if not readout.progress.stopped]:
        with readout.ema.applied(), fabric.autocast():
            found = arm.learner.validate(validation)
        if not np.isfinite(found["val_loss"]):
            arm.failed = f"the validation loss became {found['val_loss']} in epoch {row['epoch'] + 1}"
            return
        readout.close_epoch(row | found)


def _save(arms: Sequence[Arm], resume: ResumeState, epoch: int, finished: bool) -> None:
    tensors = {f"{number}:{name}": t for number, arm in enumerate(arms) for name, t in arm.state(finished).items()}
    resume.save(tensors, SavedRun(epoch=epoch, arms=[arm.plain_state() for arm in arms]))


def _restore(arms: Sequence[Arm], resume: ResumeState | None, on_epoch: OnEpoch) -> int:
    """Restores saved state into the arms; returns the epoch to continue with."""
    found = resume.load() if resume else None
    if found is None:
        return 0
    tensors, run = found
    for number, (arm, saved) in enumerate(zip(arms, run.arms, strict=True)):
        prefix = f"{number}:"
        own = {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
        arm.load_state(own, saved.model_dump())
        for row in arm.readouts[0].progress.history:
            on_epoch(arm.settings.name, row)
    return run.epoch
