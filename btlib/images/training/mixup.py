"""Mixup (paper, eq 3; Zhang et al. 2018): convex combinations of pairs of images and labels."""

from typing import NamedTuple

import torch
from torch import Tensor

from btlib.core.runtime.reproducibility import keyed_rng


class Pairs(NamedTuple):
    """λ [B] of each sample, and the row [B] of its partner in the batch."""

    weight: Tensor
    partner: Tensor


def draw(alpha: float, batch: int, key: tuple) -> Pairs:
    """λ ~ Beta(α, α) per sample and a random pairing; α = 0 gives λ = 1, i.e. no mixing."""
    rng = keyed_rng(*key, "mixup")
    weight = rng.beta(alpha, alpha, batch) if alpha > 0 else [1.0] * batch
    return Pairs(torch.as_tensor(weight, dtype=torch.float32), torch.from_numpy(rng.permutation(batch)))


def mix(x: Tensor, pairs: Pairs) -> Tensor:
    """λ x_i + (1 − λ) x_j, for images [B, C, H, W] or one-hot labels [B, K] alike."""
    weight = pairs.weight.to(x.device).view(-1, *[1] * (x.dim() - 1))
    return torch.lerp(x[pairs.partner.to(x.device)], x, weight)
