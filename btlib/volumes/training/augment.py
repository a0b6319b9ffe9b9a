"""Augmentation of volumes per sample, as batched tensor operations on the device."""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from btlib.core.runtime.reproducibility import keyed_seed


class Strength(NamedTuple):
    """Strength of each kind of augmentation; 0 is none.

    flip: probability of a left-right flip; affine: probability of rotation (± degrees about each axis), zoom (fraction
    by which size grows or shrinks) and shift (± fraction of the side); brightness (± standard deviations) and contrast
    (± fraction), independent for each modality; noise: largest standard deviation; modality_dropout: probability that a
    modality is left out.
    """

    flip: float
    affine: float
    rotation: float
    zoom: float
    shift: float
    brightness: float
    contrast: float
    noise: float
    modality_dropout: float


class Draws(NamedTuple):
    """flip [B] bool; matrix [B, 3, 4] from output to input in half sides, moved [B] bool; brightness and contrast
    [B, M]; kept [B, M] bool; noise: standard deviation [B] and the seed of its voxels."""

    flip: Tensor
    matrix: Tensor
    moved: Tensor
    brightness: Tensor
    contrast: Tensor
    kept: Tensor
    deviation: Tensor
    noise_seed: int


def draw(strength: Strength, batch: int, modalities: int, key: tuple) -> Draws:
    """Draws for a batch, from a separate generator keyed by `key` (seed, epoch, step)."""
    generator = torch.Generator().manual_seed(keyed_seed(*key, "augment"))
    share = torch.rand(2, batch, generator=generator)
    u = 2 * torch.rand(7, batch, generator=generator) - 1
    per_modality = torch.rand(3, batch, modalities, generator=generator)
    kept = per_modality[0] >= strength.modality_dropout
    # If all would be dropped, the one with the largest draw is kept.
    kept |= ~kept.any(dim=1, keepdim=True) & (per_modality[0] == per_modality[0].amax(dim=1, keepdim=True))
    return Draws(
        flip=share[0] < strength.flip,
        matrix=_matrices(u[:3] * math.radians(strength.rotation), (1 + strength.zoom) ** u[3], u[4:7] * strength.shift),
        moved=share[1] < strength.affine,
        brightness=(2 * per_modality[1] - 1) * strength.brightness,
        contrast=1 + (2 * per_modality[2] - 1) * strength.contrast,
        kept=kept,
        deviation=torch.rand(batch, generator=generator) * strength.noise,
        noise_seed=keyed_seed(*key, "noise"),
    )


def apply(images: Tensor, regions: Tensor, draws: Draws, mine: Tensor | slice = slice(None)) -> tuple[Tensor, Tensor]:
    """Applies flip, affine transform, contrast, brightness and noise inside the brain, and modality dropout.

    Args:
        images: [B, M, F, F, F], the first axis from left to right, 0 outside the brain, also afterwards.
        regions: [B, R, F, F, F], 0 or 1.
        draws: of the whole batch.
        mine: positions of these images in the batch.
    """
    device = images.device
    d = Draws(*(x.to(device)[mine] for x in draws[:-1]), draws.noise_seed)
    flip = d.flip[:, None, None, None, None]
    images, regions = torch.where(flip, images.flip(2), images), torch.where(flip, regions.flip(2), regions)
    if d.moved.any():
        images, regions = _transform(images, regions, d)
    brain = images != 0
    images = images * d.contrast[:, :, None, None, None] + d.brightness[:, :, None, None, None]
    if d.deviation.any():
        generator = torch.Generator(device).manual_seed(d.noise_seed)
        noise = torch.randn((len(draws.flip), *images.shape[1:]), generator=generator, device=device)
        images = images + d.deviation[:, None, None, None, None] * noise[mine]
    return images * brain * d.kept[:, :, None, None, None], regions


def _transform(images: Tensor, regions: Tensor, d: Draws) -> tuple[Tensor, Tensor]:
    """Transforms the `moved` samples by trilinear interpolation (the only smooth one in 3D); others stay sharp."""
    rows = torch.nonzero(d.moved)[:, 0]
    both = torch.cat([images[rows], regions[rows]], dim=1)
    grid = affine_grid(d.matrix[rows], list(both.shape), align_corners=False)
    both = grid_sample(both, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    images, regions = images.clone(), regions.clone()
    images[rows] = both[:, : images.shape[1]]
    regions[rows] = (both[:, images.shape[1] :] > 0.5).float()
    return images, regions


def _matrices(angles: Tensor, size: Tensor, shift: Tensor) -> Tensor:
    """[B, 3, 4] for affine_grid, from angles about the axes [3, B], growth [B] and shifts [3, B] in sides."""
    cos, sin = torch.cos(angles), torch.sin(angles)
    one, nil = torch.ones_like(size), torch.zeros_like(size)
    about = [
        [one, nil, nil, nil, cos[0], -sin[0], nil, sin[0], cos[0]],
        [cos[1], nil, sin[1], nil, one, nil, -sin[1], nil, cos[1]],
        [cos[2], -sin[2], nil, sin[2], cos[2], nil, nil, nil, one],
    ]
    x, y, z = (torch.stack(rows, dim=1).view(-1, 3, 3) for rows in about)
    turned = x @ y @ z / size[:, None, None]
    return torch.cat([turned, -2 * turned @ shift.T[:, :, None]], dim=2)
