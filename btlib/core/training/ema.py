"""Exponential moving average of weights (paper, eq 18)."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from torch import Tensor


class Ema:
    """θ_EMA ← β_t θ_EMA + (1 − β_t) θ with β_t = min(β, (1 + t) / (10 + t)).

    The warm-up lets a short run leave its initial weights: with a fixed β = 0.999, after 100 steps nine tenths of the
    average would still be the random start. Integer buffers (BatchNorm's counters) are copied, not averaged.

    Args:
        live: name -> tensor updated in place by training.
        decay: β of eq 18; 0 follows the live weights.
    """

    def __init__(self, live: Mapping[str, Tensor], decay: float):
        self.live = live
        self.decay = decay
        self.updates = 0
        self.average = {name: tensor.detach().clone() for name, tensor in live.items()}

    def update(self) -> None:
        """Adds the live weights to the average after an optimiser step."""
        beta = min(self.decay, (1 + self.updates) / (10 + self.updates)) if self.decay else 0.0
        self.updates += 1
        for name, tensor in self.live.items():
            average = self.average[name]
            if average.is_floating_point():
                average.lerp_(tensor.detach(), 1 - beta)
            else:
                average.copy_(tensor)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Replaces the live tensors by the average within the block."""
        kept = {name: tensor.data for name, tensor in self.live.items()}
        for name, tensor in self.live.items():
            tensor.data = self.average[name]
        try:
            yield
        finally:
            for name, tensor in self.live.items():
                tensor.data = kept[name]
