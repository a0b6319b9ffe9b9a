"""Stochastic depth (Huang et al., 2016): in training, a residual block's branch is left out for some samples."""

from torch import Tensor, nn


class DropPath(nn.Module):
    """Stands where a block of timm's has its `drop_path`, but draws nothing: the trainer hands in who keeps the branch.

    Args:
        rate: probability that a sample goes without the branch.
    """

    def __init__(self, rate: float):
        super().__init__()
        self.rate = rate
        self.keep_B: Tensor | None = None  # 0 or 1 / (1 - rate) for each sample; None: all keep the branch as it is

    def forward(self, x: Tensor) -> Tensor:
        return x if self.keep_B is None else x * self.keep_B.view(-1, 1, 1, 1)


def add_drop_path(net: nn.Module, rate: float) -> None:
    """Gives each residual block of a timm network its DropPath, at rates that grow evenly from 0 in the first block.

    A network without residual blocks stays as it is.

    Args:
        rate: that of the last block; 0 leaves the network as it is.
    """
    blocks = [module for module in net.modules() if hasattr(module, "drop_path")] if rate else []
    for number, block in enumerate(blocks):
        block.drop_path = DropPath(rate * number / max(1, len(blocks) - 1))
