"""Augmentation per sample, as batched tensor operations: the paper's (section 4.1: flips, brightness, contrast), and
rotation, zoom, shift, gamma and noise, which the paper does not have and which are off at 0."""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from btlib.core.runtime.reproducibility import keyed_seed


class Strength(NamedTuple):
    """Flip probabilities; the largest change of each other kind, drawn evenly up to it, up or down.

    brightness and contrast are shares (0..1), rotation degrees, zoom and gamma shares by which size and exponent grow
    or shrink, shift a share of the image's side, noise a standard deviation on the scale 0..1 (drawn from 0 up).
    """

    flip_horizontal: float
    flip_vertical: float
    brightness: float
    contrast: float
    rotation: float = 0.0
    zoom: float = 0.0
    shift: float = 0.0
    gamma: float = 0.0
    noise: float = 0.0


class Draws(NamedTuple):
    """One draw per sample [B]; noise: standard deviation and the seed of its pixels."""

    horizontal: Tensor
    vertical: Tensor
    brightness: Tensor
    contrast: Tensor
    angle: Tensor
    size: Tensor
    right: Tensor
    down: Tensor
    exponent: Tensor
    deviation: Tensor
    noise_seed: int


def draw(strength: Strength, batch: int, key: tuple) -> Draws:
    """Draws for a batch, from a generator of their own keyed by `key` (seed, epoch, step)."""
    generator = torch.Generator().manual_seed(keyed_seed(*key, "augment"))
    flip = torch.rand(2, batch, generator=generator)
    u = 2 * torch.rand(8, batch, generator=generator) - 1
    return Draws(
        horizontal=flip[0] < strength.flip_horizontal,
        vertical=flip[1] < strength.flip_vertical,
        brightness=u[0] * strength.brightness,
        contrast=1 + u[1] * strength.contrast,
        angle=u[2] * math.radians(strength.rotation),
        size=(1 + strength.zoom) ** u[3],
        right=u[4] * strength.shift,
        down=u[5] * strength.shift,
        exponent=(1 + strength.gamma) ** u[6],
        deviation=u[7].abs() * strength.noise,
        noise_seed=keyed_seed(*key, "noise"),
    )


def apply(images: Tensor, draws: Draws) -> Tensor:
    """Flips, rotation with zoom and shift, gamma, contrast about each image's mean, brightness, noise; then clamps.

    Args:
        images: [B, C, S, S] in 0..1; what comes into the picture from outside is black.
    """
    d = Draws(*(x.to(images.device)[:, None, None, None] for x in draws[:-1]), draws.noise_seed)
    images = torch.where(d.horizontal, images.flip(3), images)
    images = torch.where(d.vertical, images.flip(2), images)
    if any((x != still).any() for x, still in zip(draws[4:8], (0, 1, 0, 0), strict=True)):
        images = _moved(images, draws)
    if (draws.exponent != 1).any():
        images = images**d.exponent
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    images = (images - mean) * d.contrast + mean + d.brightness
    if draws.deviation.any():
        # One value for all channels, since the images are grey; drawn on the CPU, so that each device sees the same.
        generator = torch.Generator().manual_seed(d.noise_seed)
        pixels = torch.randn(len(images), 1, *images.shape[2:], generator=generator)
        images = images + d.deviation * pixels.to(images.device)
    return images.clamp(0, 1)


def _moved(images: Tensor, draws: Draws) -> Tensor:
    """Rotated about the centre, grown by `size`, moved right and down by shares of the side.

    Bicubic: bilinear blurs small images so much that a network trained on them fails on still, sharp ones.
    """
    cos, sin = torch.cos(draws.angle) / draws.size, torch.sin(draws.angle) / draws.size
    # affine_grid asks where each output pixel comes from, in units of half the side: the inverse of the movement.
    right, down = -2 * draws.right, -2 * draws.down
    rows = [cos, sin, cos * right + sin * down, -sin, cos, -sin * right + cos * down]
    matrix = torch.stack(rows, dim=1).view(-1, 2, 3).to(images.device)
    grid = affine_grid(matrix, list(images.shape), align_corners=False)
    moved = grid_sample(images, grid, mode="bicubic", padding_mode="zeros", align_corners=False)
    return moved.clamp(0, 1).contiguous(memory_format=torch.channels_last)
