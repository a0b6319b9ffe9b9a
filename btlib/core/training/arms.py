"""An arm: a network in training, with its own optimiser, schedule, averages and early stop."""

from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from btlib.core.training.ema import Ema
from btlib.core.training.schedule import learning_rate


@dataclass(frozen=True, kw_only=True)
class ArmSettings:
    """What every kind of arm is told about its optimisation.

    The name is for people and keys no draw: two arms that differ in nothing else end bit-equal.
    """

    name: str
    seed: int
    optimizer: str
    learning_rate: float
    weight_decay: float
    schedule: str
    clip_norm: float
    ema_decays: tuple[float, ...]
    patience: int
    keep_epoch: str = "best"


class Learner(Protocol):
    """A network and its task: what the trainer must know of either."""

    net: nn.Module
    trained: dict[str, Tensor]  # the tensors that training changes in place
    score: str  # name of the score beside the loss, of which more is better

    def losses(self, batch: Any, key: tuple) -> tuple[Tensor, Tensor]:
        """Loss of each sample [b] and the sum of their scores; `key` (seed, epoch, step) keys what is drawn."""

    def validate(self, batches: Any) -> dict[str, float]:
        """`val_loss`, which decides on the best epoch, `val_<score>`, and whatever else the history should hold."""

    def training_mode(self, on: bool) -> None:
        """Called with True before an epoch's steps and with False after them."""


@dataclass
class Progress:
    """How far one average of an arm has come; plain values, so that it travels in a checkpoint's metadata."""

    best_loss: float = float("inf")
    best_epoch: int = -1
    epochs_since_best: int = 0
    stopped: bool = False
    history: list[dict[str, Any]] = field(default_factory=list)


class Readout:
    """One average of a run, and its best epoch. EMA never feeds back, so one run can be read out by several.

    Args:
        live: name -> tensor that training changes in place.
        decay: β of eq 18; 0 reads the live weights.
        patience: epochs without a better validation loss before this average is no longer watched.
        keep_epoch: 'best' keeps the epoch with the lowest validation loss; 'last' the latest, and never stops early.
    """

    def __init__(self, live: dict[str, Tensor], decay: float, patience: int, keep_epoch: str):
        self.decay = decay
        self.patience = patience
        self.keep_epoch = keep_epoch
        self.ema = Ema(live, decay)
        self.best = {name: t.detach().clone() for name, t in live.items()}
        self.progress = Progress()

    def close_epoch(self, row: dict[str, Any]) -> None:
        """Takes in an epoch's row: keeps the best or latest averaged weights; stops after `patience` without gain."""
        done = self.progress
        done.history.append(row)
        if self.keep_epoch == "last" or row["val_loss"] < done.best_loss:
            done.best_loss, done.best_epoch, done.epochs_since_best = row["val_loss"], row["epoch"], 0
            for name, tensor in self.ema.average.items():
                self.best[name].copy_(tensor)
        else:
            done.epochs_since_best += 1
            done.stopped = done.epochs_since_best >= self.patience


class Arm:
    """One network in training.

    Args:
        learner: its network is on its device already.
        total_steps: of the whole stage, for the schedule.
    """

    def __init__(self, settings: ArmSettings, learner: Learner, total_steps: int):
        self.settings = settings
        self.learner = learner
        self.total_steps = total_steps
        self.trained = learner.trained
        parameters = [t for t in self.trained.values() if isinstance(t, nn.Parameter)]
        kind = torch.optim.AdamW if settings.optimizer == "adamw" else torch.optim.Adam
        # fused: one kernel for all tensors, in a quarter of the time of one after another on a CPU
        self.optimizer = kind(parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True)
        self.readouts = [
            Readout(self.trained, decay, settings.patience, settings.keep_epoch) for decay in settings.ema_decays
        ]
        self.steps = 0
        self.failed = ""

    @property
    def net(self) -> nn.Module:
        return self.learner.net

    @property
    def running(self) -> bool:
        return not self.failed and any(not readout.progress.stopped for readout in self.readouts)

    def step(self) -> None:
        """Applies the gradients that are in place, clipped, at the schedule's rate; then updates the averages."""
        s = self.settings
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(s.schedule, s.learning_rate, self.steps, self.total_steps)
            if s.clip_norm:
                nn.utils.clip_grad_norm_(group["params"], s.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        for readout in self.readouts:
            readout.ema.update()
        self.steps += 1

    def restore(self, readout: Readout) -> None:
        """Puts the weights of the epoch that the readout keeps into the network."""
        for name, tensor in self.trained.items():
            tensor.data = readout.best[name].clone()

    def state(self, finished: bool) -> dict[str, Tensor]:
        """All tensors that a resumed run needs; of a finished one only the best weights."""
        tensors = {f"best/{r.decay}/{n}": t for r in self.readouts for n, t in r.best.items()}
        if finished:
            return tensors
        tensors |= {f"live/{n}": t for n, t in self.trained.items()}
        tensors |= {f"ema/{r.decay}/{n}": t for r in self.readouts for n, t in r.ema.average.items()}
        for number, slots in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{number}/{slot}": value for slot, value in slots.items()}
        return tensors

    def plain_state(self) -> dict[str, Any]:
        """The rest of the state, as plain values."""
        return {"steps": self.steps, "failed": self.failed, "readouts": [asdict(r.progress) for r in self.readouts]}

    def load_state(self, tensors: dict[str, Tensor], plain: dict[str, Any]) -> None:
        """The inverse of `state` and `plain_state`."""
        targets = {f"live/{n}": t for n, t in self.trained.items()}
        targets |= {f"ema/{r.decay}/{n}": t for r in self.readouts for n, t in r.ema.average.items()}
        targets |= {f"best/{r.decay}/{n}": t for r in self.readouts for n, t in r.best.items()}
        optimizer = self.optimizer.state_dict()
        (group,) = self.optimizer.param_groups
        with torch.no_grad():
            for name, value in tensors.items():
                if name.startswith("optimizer/"):
                    _, number, slot = name.split("/")
                    optimizer["state"].setdefault(int(number), {})[slot] = _laid_out_as(
                        group["params"][int(number)], value
                    )
                else:
                    targets[name].copy_(value)
        self.optimizer.load_state_dict(optimizer)
        self.steps, self.failed = plain["steps"], plain["failed"]
        for readout, progress in zip(self.readouts, plain["readouts"], strict=True):
            readout.progress = Progress(**progress)
            readout.ema.updates = self.steps


def _laid_out_as(parameter: Tensor, value: Tensor) -> Tensor:
    """The value in the memory format of the parameter: the fused kernel goes through both as they lie there."""
    return torch.empty_like(parameter).copy_(value) if value.shape == parameter.shape else value
