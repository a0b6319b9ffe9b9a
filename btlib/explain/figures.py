"""Grad-CAM overlays (Figure 13)."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps
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
    # placed by hand: constrained layout takes seconds for this many panels
    width, height = 2.3 * len(names) + 0.4, 2.3 * len(images) + 0.7
    place = {"left": 0.4 / width, "right": 1, "bottom": 0, "top": 1 - 0.7 / height, "wspace": 0.02, "hspace": 0.02}
    figure = Figure(figsize=(width, height))
    grid = figure.subplots(len(images), len(names), squeeze=False, gridspec_kw=place)
    for row, axes_row in enumerate(grid):
        for axes, name in zip(axes_row, names, strict=True):
            axes.imshow(overlay(images[row], maps[name][row]) if name in maps else images[row])
            _outline(axes, lesions[row])
            axes.set(xticks=[], yticks=[])
        axes_row[0].set_ylabel(captions[row], fontsize=10)
    for axes, name in zip(grid[0], names, strict=True):
        axes.set_title(name, fontsize=10)
    figure.suptitle(title, y=1 - 0.15 / height)
    return figure


def overlay(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3]: the image, the more covered by the heat's colour the hotter it is.

    Args:
        image: uint8 [H, W, 3].
        heat: [H, W] in 0 … 1; where it is 0 the image stays as it is.
    """
    opacity = STRONGEST * heat[..., None]
    return np.uint8(np.round((1 - opacity) * image + opacity * 255 * colormaps["jet"](heat)[..., :3]))


def _outline(axes: Axes, lesion: np.ndarray) -> None:
    if lesion.any():
        axes.contour(lesion, levels=[0.5], colors="white", linewidths=2.2)
        axes.contour(lesion, levels=[0.5], colors="magenta", linewidths=1.1)
