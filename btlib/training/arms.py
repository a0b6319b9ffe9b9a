"""An arm: a classifier with its own loss, optimiser, averages and random keys, behind a shared frozen trunk."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from btlib.losses.focal import class_weights, focal_loss, smooth, soft_cross_entropy
from btlib.nets.classifier import Classifier
from btlib.reproducibility import keyed_seed
from btlib.training.ema import Ema
from btlib.training.schedule import learning_rate


@dataclass(frozen=True)
class ArmSettings:
    """What may differ between arms that see the same batches.

    The name is for people and keys no draw: two arms that differ in nothing else end bit-equal.
    """

    name: str
    seed: int
    loss: str
    focal_gamma: float
    focal_alpha: str | float
    label_smoothing: float
    optimizer: str
    learning_rate: float
    weight_decay: float
    schedule: str
    clip_norm: float
    ema_decays: tuple[float, ...]
    patience: int


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
    """

    def __init__(self, live: dict[str, Tensor], decay: float, patience: int):
        self.decay = decay
        self.patience = patience
        self.ema = Ema(live, decay)
        self.best = {name: t.detach().clone() for name, t in live.items()}
        self.progress = Progress()

    def close_epoch(self, row: dict[str, Any]) -> None:
        """Takes in an epoch's row: keeps the best averaged weights, and stops after `patience` epochs without gain."""
        done = self.progress
        done.history.append(row)
        if row["val_loss"] < done.best_loss:
            done.best_loss, done.best_epoch, done.epochs_since_best = row["val_loss"], row["epoch"], 0
            for name, tensor in self.ema.average.items():
                self.best[name].copy_(tensor)
        else:
            done.epochs_since_best += 1
            done.stopped = done.epochs_since_best >= self.patience


class Arm:
    """One classifier in training.

    Args:
        net: on its device already; its frozen units must equal those of the other arms.
        cuts: per backbone, how many leading units are frozen.
        train_batchnorm: whether BatchNorm layers behind the cut train too; else they keep their statistics.
        counts_K: training images per class, for inverse-frequency weights.
        total_steps: of the whole stage, for the schedule.
    """

    def __init__(
        self,
        settings: ArmSettings,
        net: Classifier,
        cuts: Sequence[int],
        train_batchnorm: bool,
        counts_K: Tensor,
        total_steps: int,
    ):
        self.settings = settings
        self.cuts = tuple(cuts)
        self.total_steps = total_steps
        self.net = net
        self.alpha_K = class_weights(settings.focal_alpha, counts_K).to(net.linear.weight.device)
        self.trained = free_tail(net, cuts, train_batchnorm)
        for tensor in self.trained.values():  # an earlier call may have shared them with other arms, as its trunk
            tensor.data = tensor.data.clone()
        self.norms = [m for m in free_modules(net, cuts) if isinstance(m, _BatchNorm)] if train_batchnorm else []
        parameters = [t for t in self.trained.values() if isinstance(t, nn.Parameter)]
        kind = torch.optim.AdamW if settings.optimizer == "adamw" else torch.optim.Adam
        self.optimizer = kind(parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay)
        self.readouts = [Readout(self.trained, decay, settings.patience) for decay in settings.ema_decays]
        self.steps = 0
        self.failed = ""

    @property
    def running(self) -> bool:
        return not self.failed and any(not readout.progress.stopped for readout in self.readouts)

    def loss(self, trunk: Sequence[Tensor], target_BK: Tensor, keep: Tensor | None) -> tuple[Tensor, Tensor]:
        """Per-sample loss [B] and logits [B, K] of this arm."""
        s = self.settings
        logits = self.net.head(self.net.tail(trunk, self.cuts), keep).float()
        smoothed = smooth(target_BK, s.label_smoothing)
        if s.loss == "focal":
            return focal_loss(logits, smoothed, s.focal_gamma, self.alpha_K), logits
        return soft_cross_entropy(logits, smoothed, self.alpha_K), logits

    def dropout_mask(self, batch: int, key: tuple) -> Tensor | None:
        """The keyed dropout mask [batch, fused width] for one step; None when dropout is off."""
        p = self.net.architecture.dropout
        if p == 0:
            return None
        generator = torch.Generator().manual_seed(keyed_seed(*key, self.settings.seed, "dropout"))
        return (torch.rand(batch, self.net.fusion.out_features, generator=generator) >= p) / (1 - p)

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

    def training_mode(self, on: bool) -> None:
        """Switches the BatchNorm layers that train; nothing else in the network has a mode."""
        for norm in self.norms:
            norm.train(on)

    def restore(self, readout: Readout) -> None:
        """Puts the weights of that readout's best epoch into the network."""
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
        with torch.no_grad():
            for name, value in tensors.items():
                if name.startswith("optimizer/"):
                    _, number, slot = name.split("/")
                    optimizer["state"].setdefault(int(number), {})[slot] = value
                else:
                    targets[name].copy_(value)
        self.optimizer.load_state_dict(optimizer)
        self.steps, self.failed = plain["steps"], plain["failed"]
        for readout, progress in zip(self.readouts, plain["readouts"], strict=True):
            readout.progress = Progress(**progress)
            readout.ema.updates = self.steps


def free_modules(net: Classifier, cuts: Sequence[int]) -> list[nn.Module]:
    """All modules behind the cuts: tails, fusion, linear layer."""
    tops = [net.fusion, net.linear]
    for backbone, cut in zip(net.backbones, cuts, strict=True):
        tops += backbone.units[cut:]
    return [module for top in tops for module in top.modules()]


def free_tail(net: Classifier, cuts: Sequence[int], train_batchnorm: bool) -> dict[str, Tensor]:
    """Freezes the trunk; returns name -> tensor that training changes (with BatchNorm, its buffers too)."""
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
    """Lets all networks use the first one's frozen tensors, so that memory does not grow with the number of arms."""
    reference = nets[0]
    for net in nets[1:]:
        for own, shared, cut in zip(net.backbones, reference.backbones, cuts, strict=True):
            for mine, theirs in zip(own.units[:cut], shared.units[:cut], strict=True):
                theirs_tensors = [*theirs.parameters(), *theirs.buffers()]
                for a, b in zip([*mine.parameters(), *mine.buffers()], theirs_tensors, strict=True):
                    assert torch.equal(a, b), "arms share a trunk only when they start from the same weights"
                    a.data = b.data
