"""Augmentation of the paper's section 4.1 (flips, brightness, contrast), per sample, as batched tensor operations."""

from typing import NamedTuple

import torch
from torch import Tensor

from btlib.reproducibility import keyed_seed


class Strength(NamedTuple):
    """Flip probabilities, and the largest brightness shift and contrast change as shares (0..1)."""

    flip_horizontal: float
    flip_vertical: float
    brightness: float
    contrast: float


class Draws(NamedTuple):
    """One draw per sample: flips [B] bool, brightness shift [B], contrast factor [B]."""

    horizontal: Tensor
    vertical: Tensor
    shift: Tensor
    factor: Tensor


def draw(strength: Strength, batch: int, key: tuple) -> Draws:
    """Draws for a batch, from a generator of their own keyed by `key` (seed, epoch, step)."""
    generator = torch.Generator().manual_seed(keyed_seed(*key, "augment"))
    u = torch.rand(4, batch, generator=generator)
    return Draws(
        u[0] < strength.flip_horizontal,
        u[1] < strength.flip_vertical,
        (2 * u[2] - 1) * strength.brightness,
        1 + (2 * u[3] - 1) * strength.contrast,
    )


def apply(images: Tensor, draws: Draws) -> Tensor:
    """Flips, then contrast about each image's mean, then brightness; images [B, C, H, W] in 0..1, clamped back."""
    horizontal, vertical, shift, factor = (d.to(images.device)[:, None, None, None] for d in draws)
    images = torch.where(horizontal, images.flip(3), images)
    images = torch.where(vertical, images.flip(2), images)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return ((images - mean) * factor + mean + shift).clamp_(0, 1)
