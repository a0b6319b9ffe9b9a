"""Augmentation per sample, as batched tensor operations: flips, brightness and contrast as in the paper (section 4.1),
and rotation, zoom, shift, gamma, noise, framing and appearance, which are not in the paper and are off at 0."""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from btlib.core.runtime.reproducibility import keyed_seed
from btlib.images.training import appearance, framing


class Strength(NamedTuple):
    """Flip probabilities, and the largest change of each other kind, drawn uniformly in both directions.

    brightness and contrast are fractions (0..1), rotation is in degrees, zoom and gamma are fractions by which size and
    exponent grow or shrink, shift is a fraction of the image's side, and noise a standard deviation on the scale 0..1
    (drawn from 0 upwards). framing and appearance are the probabilities of each change of `framing.draw` and
    `appearance.draw`.
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
    framing: float = 0.0
    appearance: float = 0.0


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


def augmented(images: Tensor, lesions: Tensor, strength: Strength, key: tuple) -> tuple[Tensor, Tensor]:
    """Images [B, C, S, S] in 0..1 and their lesion maps [B, h, w], augmented by the draws of `key`."""
    if strength.framing:
        images, lesions = framing.apply(images, lesions, framing.draw(strength.framing, len(images), key))
    if strength.appearance:
        images = appearance.apply(images, appearance.draw(strength.appearance, len(images), key))
    draws = draw(strength, len(images), key)
    return apply(images, draws), apply_to_maps(lesions, draws)


def draw(strength: Strength, batch: int, key: tuple) -> Draws:
    """Draws for a batch, from a separate generator keyed by `key` (seed, epoch, step)."""
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
        images: [B, C, S, S] in 0..1; areas from outside the image are black.
    """
    d = Draws(*(x.to(images.device)[:, None, None, None] for x in draws[:-1]), draws.noise_seed)
    # Bicubic: bilinear blurs small images so much that a network trained on them fails on unaugmented, sharp ones.
    images = _moved(images, draws, "bicubic")
    if (draws.exponent != 1).any():
        images = images**d.exponent
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    images = (images - mean) * d.contrast + mean + d.brightness
    if draws.deviation.any():
        # One value for all channels, since the images are grey; drawn on the CPU, to be the same on every device.
        generator = torch.Generator().manual_seed(d.noise_seed)
        pixels = torch.randn(len(images), 1, *images.shape[2:], generator=generator)
        images = images + d.deviation * pixels.to(images.device)
    return images.clamp(0, 1)


def apply_to_maps(lesions: Tensor, draws: Draws) -> Tensor:
    """The flips, rotation, zoom and shift of `apply`, for lesion maps [B, h, w] in 0..1 of the same images."""
    return _moved(lesions[:, None], draws, "bilinear")[:, 0]


def _moved(images: Tensor, draws: Draws, mode: str) -> Tensor:
    """Flips and, if any image moves, transforms images [B, C, S, S] with interpolation `mode`."""
    horizontal, vertical = (flip.to(images.device)[:, None, None, None] for flip in (draws.horizontal, draws.vertical))
    images = torch.where(horizontal, images.flip(3), images)
    images = torch.where(vertical, images.flip(2), images)
    moves = any((x != neutral).any() for x, neutral in zip(draws[4:8], (0, 1, 0, 0), strict=True))
    return _transform(images, draws, mode) if moves else images


def _transform(images: Tensor, draws: Draws, mode: str) -> Tensor:
    """Rotates about the centre, scales by `size`, shifts right and down by fractions of the side."""
    cos, sin = torch.cos(draws.angle) / draws.size, torch.sin(draws.angle) / draws.size
    # affine_grid needs the source of each output pixel, in units of half the side: the inverse transform.
    right, down = -2 * draws.right, -2 * draws.down
    rows = [cos, sin, cos * right + sin * down, -sin, cos, -sin * right + cos * down]
    matrix = torch.stack(rows, dim=1).view(-1, 2, 3).to(images.device)
    grid = affine_grid(matrix, list(images.shape), align_corners=False)
    moved = grid_sample(images, grid, mode=mode, padding_mode="zeros", align_corners=False)
    return moved.clamp(0, 1).contiguous(memory_format=torch.channels_last)
