"""Augmentation of what surrounds the head, so that no class can be told by it; not in the paper.

In public sets, margins, bars, the background's noise and compression differ between the classes. Each is changed for a
share of the images, independently.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, affine_grid, avg_pool2d, grid_sample
from torchvision.transforms.v2.functional import jpeg

from btlib.core.runtime.reproducibility import keyed_seed

MARGIN = (-0.03, 0.25)  # new margins around the head, as shares of its height and width
WIDEST_BAR = 0.1  # share of the side
BLACK_BARS = 0.7  # share of the bars; the others are grey
BRIGHTEST = 0.12  # mean grey of a background
NOISIEST = 0.05  # standard deviation of a background
DARK = 0.06  # grey below which surroundings are background
HEAD = 0.1  # grey above which a pixel is head
PRESENT = 0.03  # share of a row or column that is head where the head begins
SMALLEST = 0.25  # share of the side; a smaller head is not trusted
QUALITY = (25, 90)  # of JPEG


class Frames(NamedTuple):
    """One draw per sample: margins [4, B] (top, bottom, left, right) and bars [4, B] as shares; NaN margins: as is."""

    margins: Tensor
    bars: Tensor
    bar_gray: Tensor
    back_gray: Tensor  # NaN: as is
    back_noise: Tensor
    quality: Tensor  # 0: no compression
    noise_seed: int


def draw(share: float, batch: int, key: tuple) -> Frames:
    """Draws for a batch, from a separate generator keyed by `key` (seed, epoch, step).

    Args:
        share: probability of each change.
    """
    generator = torch.Generator().manual_seed(keyed_seed(*key, "framing"))
    chosen = torch.rand(4, batch, generator=generator) < share
    u = torch.rand(12, batch, generator=generator)
    gray = torch.where(u[8] < BLACK_BARS, 0, (u[8] - BLACK_BARS) / (1 - BLACK_BARS))
    quality = (QUALITY[0] + u[11] * (QUALITY[1] - QUALITY[0])).long()
    return Frames(
        margins=torch.where(chosen[0], MARGIN[0] + u[:4] * (MARGIN[1] - MARGIN[0]), torch.nan),
        bars=torch.where(chosen[1], u[4:8] * WIDEST_BAR, 0),
        bar_gray=gray,
        back_gray=torch.where(chosen[2], u[9] * BRIGHTEST, torch.nan),
        back_noise=u[10] * NOISIEST,
        quality=torch.where(chosen[3], quality, 0),
        noise_seed=keyed_seed(*key, "background"),
    )


def apply(images: Tensor, lesions: Tensor, frames: Frames) -> tuple[Tensor, Tensor]:
    """New margins, background, bars and compression.

    Args:
        images: [B, C, S, S] in 0..1.
        lesions: maps [B, h, w] in 0..1, which follow.
    """
    images, lesions = _fitted(images, lesions, frames)
    images = _with_background(images, frames)
    images, lesions = _with_bars(images, lesions, frames)
    for number in torch.nonzero(frames.quality).flatten().tolist():
        pixels = (images[number] * 255).round().to("cpu", torch.uint8).contiguous()
        images[number] = jpeg(pixels, int(frames.quality[number])).to(images.device).float().div_(255)
    return images.contiguous(memory_format=torch.channels_last), lesions


def head_boxes(images: Tensor) -> Tensor:
    """[4, B] top, bottom, left and right of the head in images [B, C, S, S], as shares of the side."""
    head = images.mean(dim=1) > HEAD
    spans = [_span(head.float().mean(dim=axis) > PRESENT) for axis in (2, 1)]
    return torch.cat(spans)


def _span(present: Tensor) -> Tensor:
    """[2, B] begin and end of what is present [B, S], as shares; the whole side where that is too little."""
    side = present.shape[1]
    places = torch.arange(side, device=present.device)
    begin = torch.where(present, places, side).amin(dim=1)
    end = torch.where(present, places + 1, 0).amax(dim=1)
    small = end - begin < SMALLEST * side
    return torch.stack([torch.where(small, 0, begin), torch.where(small, side, end)]) / side


def _fitted(images: Tensor, lesions: Tensor, frames: Frames) -> tuple[Tensor, Tensor]:
    margins = frames.margins.to(images.device)
    fitted = ~margins[0].isnan()
    if not fitted.any():
        return images, lesions
    top, bottom, left, right = head_boxes(images)
    height, width = bottom - top, right - left
    top, bottom = top - margins[0] * height, bottom + margins[1] * height
    left, right = left - margins[2] * width, right + margins[3] * width
    zero = torch.zeros_like(top)
    rows = [right - left, zero, left + right - 1, zero, bottom - top, top + bottom - 1]
    as_is = torch.tensor([1.0, 0, 0, 0, 1, 0], device=images.device)
    matrix = torch.where(fitted[:, None], torch.stack(rows, dim=1), as_is).view(-1, 2, 3)
    return _sampled(images, matrix), _sampled(lesions[:, None], matrix)[:, 0]


def _sampled(images: Tensor, matrix: Tensor) -> Tensor:
    grid = affine_grid(matrix, list(images.shape), align_corners=False)
    return grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _with_background(images: Tensor, frames: Frames) -> Tensor:
    gray, noise = frames.back_gray.to(images.device), frames.back_noise.to(images.device)
    if gray.isnan().all():
        return images
    # drawn on the CPU, to be the same on every device
    generator = torch.Generator().manual_seed(frames.noise_seed)
    pixels = torch.randn(len(images), 1, *images.shape[2:], generator=generator).to(images.device)
    background = (gray[:, None, None, None] + noise[:, None, None, None] * pixels).clamp(0, 1)
    dark = avg_pool2d(images.mean(dim=1, keepdim=True), 5, 1, 2) < DARK
    return torch.where(dark & ~gray.isnan()[:, None, None, None], background, images)


def _with_bars(images: Tensor, lesions: Tensor, frames: Frames) -> tuple[Tensor, Tensor]:
    bars, gray = frames.bars.to(images.device), frames.bar_gray.to(images.device)
    if not bars.any():
        return images, lesions
    side = images.shape[2]
    centers = (torch.arange(side, device=images.device) + 0.5) / side
    inside = [
        (centers >= first[:, None]) & (centers < 1 - last[:, None]) for first, last in ((bars[0], bars[1]), bars[2:])
    ]
    free = (inside[0][:, :, None] & inside[1][:, None, :])[:, None]
    images = torch.where(free, images, gray[:, None, None, None])
    return images, lesions * adaptive_avg_pool2d(free.float(), lesions.shape[1:])[:, 0]
