"""Grad-CAM overlays (Figure 13)."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

STRONGEST = 0.65  # opacity of the hottest pixel: anatomy stays visible beneath


def overlay_figure(
    title: str, images: np.ndarray, captions: Sequence[str], maps: Mapping[str, np.ndarray], lesions: np.ndarray
) -> Figure:
    """One row per image: the image, then each map over it; the lesion is outlined in every panel.

    Args:
        title: of the whole figure.
        images: uint8 [N, H, W, 3], at least one.
        captions: N texts, written beside the rows.
        maps: name -> [N, H, W] in 0 … 1, one column each.
        lesions: [N, H, W] bool; an empty one is not drawn.
    """
    names = ["image", *maps]
    figure = Figure(figsize=(2.3 * len(names) + 1.2, 2.35 * len(images) + 0.6), layout="constrained")
    grid = figure.subplots(len(images), len(names), squeeze=False)
    for row, axes_row in enumerate(grid):
        for axes, name in zip(axes_row, names, strict=True):
            axes.imshow(images[row])
            if name in maps:
                heat = maps[name][row]
                axes.imshow(heat, cmap="jet", vmin=0, vmax=1, alpha=STRONGEST * heat)
            _outline(axes, lesions[row])
            axes.set(xticks=[], yticks=[])
        axes_row[0].set_ylabel(captions[row], fontsize=10)
    for axes, name in zip(grid[0], names, strict=True):
        axes.set_title(name, fontsize=10)
    figure.suptitle(title)
    return figure


def _outline(axes: Axes, lesion: np.ndarray) -> None:
    if lesion.any():
        axes.contour(lesion, levels=[0.5], colors="white", linewidths=2.2)
        axes.contour(lesion, levels=[0.5], colors="magenta", linewidths=1.1)
