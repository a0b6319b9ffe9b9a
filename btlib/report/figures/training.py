"""Training images as the network sees them: augmented views (Figure 4) and Mixup pairs (Figure 5)."""

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from btlib.images.data.resident import ResidentImages
from btlib.images.training import augment, mixup


def views_figure(data: ResidentImages, rows: np.ndarray, strength: augment.Strength, seed: int) -> Figure:
    """One row per image: the original, then five augmented views of it."""
    images = data.batch(np.repeat(rows, 5))
    views, _ = augment.augmented(images, torch.zeros(len(images), 1, 1), strength, (seed, "views"))
    grid = [[data.batch(rows[i : i + 1])[0], *views[5 * i : 5 * i + 5]] for i in range(len(rows))]
    return _grid_figure(grid, ["original", *[f"view {i + 1}" for i in range(5)]])


def mixup_figure(data: ResidentImages, rows: np.ndarray, alpha: float, seed: int) -> Figure:
    """One row per pair: the image, its partner, their mixture with its λ."""
    images = data.batch(rows)
    pairs = mixup.draw(alpha, len(images), (seed, "views"))
    mixed = mixup.mix(images, pairs)
    grid = [[images[i], images[int(pairs.partner[i])], mixed[i]] for i in range(len(rows))]
    return _grid_figure(grid, ["x_i", "x_j", "mixed"], [f"λ = {weight:.2f}" for weight in pairs.weight.tolist()])


def _grid_figure(grid: list[list[Tensor]], titles: list[str], beside: list[str] | None = None) -> Figure:
    figure = Figure(figsize=(1.7 * len(titles), 1.8 * len(grid)), layout="constrained")
    axes = figure.subplots(len(grid), len(titles), squeeze=False)
    for i, line in enumerate(grid):
        for j, image in enumerate(line):
            axes[i, j].imshow(image.permute(1, 2, 0).cpu().numpy())
            axes[i, j].set_axis_off()
            if i == 0:
                axes[i, j].set_title(titles[j], fontsize=9)
        if beside:
            axes[i, -1].text(1.05, 0.5, beside[i], transform=axes[i, -1].transAxes, va="center", fontsize=9)
    return figure
