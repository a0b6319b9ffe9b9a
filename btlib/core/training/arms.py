"""An arm: a network in training, with its own optimiser, schedule, averages and early stopping."""

from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from btlib.core.training.ema import Ema
from btlib.core.training.schedule import learning_rate


@dataclass(frozen=True, kw_only=True)
class ArmSettings:
    """Optimisation settings of every kind of arm.

    The name is only for display and keys no draws: two arms that differ only in name end bit-equal.
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
    """A network and its task, as seen by the trainer."""

    net: nn.Module
    trained: dict[str, Tensor]  # tensors updated in place by training
    score: str  # name of the score besides the loss; higher is better

    def losses(self, batch: Any, key: tuple) -> tuple[Tensor, Tensor]:
        """Loss of each sample [b] and the sum of their scores; `key` (seed, epoch, step) keys the random draws."""

    def validate(self, batches: Any) -> dict[str, float]:
        """`val_loss`, which determines the best epoch, `val_<score>`, and further values for the history."""

    def training_mode(self, on: bool) -> None:
        """Called with True before the steps of an epoch, and with False after them."""


@dataclass
class Progress:
    """Training progress of one average of an arm; plain values, for the metadata of a checkpoint."""

    best_loss: float = float("inf")
    best_epoch: int = -1
    epochs_since_best: int = 0
    stopped: bool = False
    history: list[dict[str, Any]] = field(default_factory=list)


class Readout:
    """One average of a run, and its best epoch. EMA never feeds back, so one run can have several readouts.

    Args:
        live: name -> tensor updated in place by training.
        decay: β of eq 18; 0 reads the live weights.
        patience: epochs without a better validation loss before this average stops.
        keep_epoch: 'best' keeps the epoch with the lowest validation loss; 'last' the latest, without early stopping.
    """

    def __init__(self, live: dict[str, Tensor], decay: float, patience: int, keep_epoch: str):
        self.decay = decay
        self.patience = patience
        self.keep_epoch = keep_epoch
        self.ema = Ema(live, decay)
        self.best = {name: t.detach().clone() for name, t in live.items()}
        self.progress = Progress()

    def close_epoch(self, row: dict[str, Any]) -> None:
        """Records an epoch: keeps the best or latest averaged weights; stops after `patience` epochs without gain."""
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
        learner: with its network already on its device.
        total_steps: of the whole stage, for the schedule.
    """

    def __init__(self, settings: ArmSettings, learner: Learner, total_steps: int):
        self.settings = settings
        self.learner = learner
        self.total_steps = total_steps
        self.trained = learner.trained
        parameters = [t for t in self.trained.values() if isinstance(t, nn.Parameter)]
        kind = torch.optim.AdamW if settings.optimizer == "adamw" else torch.optim.Adam
        # fused: one kernel for all tensors, on a CPU four times as fast as one after another
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
        """Applies the accumulated gradients, clipped, at the scheduled rate; then updates the averages."""
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
        """Loads the weights of the readout's kept epoch into the network."""
        for name, tensor in self.trained.items():
            tensor.data = readout.best[name].clone()

    def state(self, finished: bool) -> dict[str, Tensor]:
        """All tensors needed to resume; for a finished run only the best weights."""
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
                    optimizer["state"].setdefault(int(number), {})[slot] = _match_memory_format(
                        group["params"][int(number)], value
                    )
                else:
                    targets[name].copy_(value)
        self.optimizer.load_state_dict(optimizer)
        self.steps, self.failed = plain["steps"], plain["failed"]
        for readout, progress in zip(self.readouts, plain["readouts"], strict=True):
            readout.progress = Progress(**progress)
            readout.ema.updates = self.steps


def _match_memory_format(parameter: Tensor, value: Tensor) -> Tensor:
    """The value in the memory format of the parameter, since the fused kernel reads both in memory order."""
    return torch.empty_like(parameter).copy_(value) if value.shape == parameter.shape else value
