"""Augmentation of how a scanner shows tissue: grey-level curve, shading and sharpness; not in the paper.

Contrasts and scanners differ in these between hospitals, so a network should not rely on them. Each is changed for a
share of the images, independently.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import conv2d

from btlib.core.runtime.reproducibility import keyed_seed

KNOTS = 7  # of a grey-level curve, evenly spaced over 0..1
FOLDED = 0.25  # share of the curves that are not monotone: they change the order of tissues, as another contrast does
SHADING = 0.35  # standard deviation of the coefficients of the logarithm of a shading
SOFTEST = 1.6  # standard deviation of the widest blur, in pixels of an image of SIDE
SIDE = 128
RADIUS = 4  # of the blur's kernel, in pixels


class Looks(NamedTuple):
    """One draw per sample: values of a curve at its knots [B, KNOTS], NaN: as is; coefficients [B, 5]; blur [B]."""

    curve: Tensor
    shading: Tensor
    blur: Tensor


def draw(share: float, batch: int, key: tuple) -> Looks:
    """Draws for a batch, from a separate generator keyed by `key` (seed, epoch, step).

    Args:
        share: probability of each change.
    """
    generator = torch.Generator().manual_seed(keyed_seed(*key, "appearance"))
    chosen = torch.rand(3, batch, generator=generator) < share
    steps = torch.rand(batch, KNOTS - 1, generator=generator) ** 2 + 0.05
    rising = steps.cumsum(dim=1) / steps.sum(dim=1, keepdim=True)
    folded = torch.rand(batch, generator=generator) < FOLDED
    other = torch.rand(batch, KNOTS - 1, generator=generator)
    top = 0.7 + 0.3 * torch.rand(batch, 1, generator=generator)
    curve = torch.where(folded[:, None], other, top * rising)
    curve = torch.cat([torch.zeros(batch, 1), curve], dim=1)  # air stays black
    shading = torch.randn(batch, 5, generator=generator) * SHADING
    blur = torch.rand(batch, generator=generator) * SOFTEST
    return Looks(
        curve=torch.where(chosen[0][:, None], curve, torch.nan),
        shading=torch.where(chosen[1][:, None], shading, 0),
        blur=torch.where(chosen[2], blur, 0),
    )


def apply(images: Tensor, looks: Looks) -> Tensor:
    """Grey-level curve, shading, blur, for images [B, C, S, S] in 0..1; the same for all channels."""
    images = _curved(images, looks.curve.to(images.device))
    images = _shaded(images, looks.shading.to(images.device))
    return _blurred(images, looks.blur.to(images.device)).contiguous(memory_format=torch.channels_last)


def _curved(images: Tensor, curve: Tensor) -> Tensor:
    """Linear interpolation between the knots."""
    place = images.clamp(0, 1).flatten(1) * (KNOTS - 1)
    below = place.long().clamp_max(KNOTS - 2)
    low, high = curve.gather(1, below), curve.gather(1, below + 1)
    bent = (low + (high - low) * (place - below)).view_as(images)
    return torch.where(curve[:, :1, None, None].isnan(), images, bent)


def _shaded(images: Tensor, shading: Tensor) -> Tensor:
    """Multiplication with a smooth field, the exponential of a quadratic form in both coordinates."""
    if not shading.any():
        return images
    side = torch.linspace(-1, 1, images.shape[2], device=images.device)
    y, x = torch.meshgrid(side, side, indexing="ij")
    form = torch.stack([x, y, x * y, x * x - 1 / 3, y * y - 1 / 3])
    field = torch.exp(torch.einsum("bk,kij->bij", shading, form))
    return (images * field[:, None]).clamp(0, 1)


def _blurred(images: Tensor, blur: Tensor) -> Tensor:
    """A Gaussian of each image's own width, along rows and columns."""
    if not blur.any():
        return images
    batch, channels, side = images.shape[:3]
    offsets = torch.arange(-RADIUS, RADIUS + 1, device=images.device)
    width = (blur * side / SIDE).clamp_min(1e-3)[:, None]  # next to nothing: the image itself
    kernel = torch.exp(-(offsets**2) / (2 * width**2))
    kernel = (kernel / kernel.sum(dim=1, keepdim=True)).repeat_interleave(channels, dim=0)
    flat = images.reshape(1, batch * channels, side, side)
    flat = conv2d(flat, kernel[:, None, :, None], padding=(RADIUS, 0), groups=batch * channels)
    flat = conv2d(flat, kernel[:, None, None, :], padding=(0, RADIUS), groups=batch * channels)
    return flat.view_as(images)
