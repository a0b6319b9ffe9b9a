"""Grad-CAM overlays (Figure 13)."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from btlib.report.figures.style import LESION, WHITE

STRONGEST = 0.65  # opacity of the hottest pixel: anatomy stays visible beneath
GAP = 0.02  # between panels, as a share of a panel
INCHES = 2.3  # side of a panel


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
    rows = [[image, *(overlay(image, heats[row]) for heats in maps.values())] for row, image in enumerate(images)]
    panels = mosaic(np.array(rows), fill=255)
    outlines = mosaic(np.repeat(lesions[:, None, :, :, None], len(names), axis=1), fill=False)[..., 0]
    width, height = INCHES * len(names) + 0.4, INCHES * len(images) + 0.7
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0.4 / width, 0, 1 - 0.4 / width, 1 - 0.7 / height))
    # one picture for all panels: a pair of axes for each would take ten times as long to draw
    axes.imshow(panels, aspect="auto")
    if outlines.any():
        axes.contour(outlines, levels=[0.5], colors=WHITE, linewidths=2.2)
        axes.contour(outlines, levels=[0.5], colors=LESION, linewidths=1.1)
    axes.set_axis_off()
    down, across = panels.shape[0] / len(images), panels.shape[1] / len(names)
    for column, name in enumerate(names):
        axes.text((column + 0.5) * across, -0.03 * down, name, ha="center", va="bottom", fontsize=10)
    for row, caption in enumerate(captions):
        axes.text(-0.03 * across, (row + 0.5) * down, caption, ha="right", va="center", rotation=90, fontsize=10)
    figure.suptitle(title, y=1 - 0.15 / height)
    return figure


def mosaic(panels: np.ndarray, fill: int | bool) -> np.ndarray:
    """[rows, columns, H, W, C] panels as one picture [rows·(H + gap), columns·(W + gap), C], the gaps `fill`."""
    rows, columns, height, width, channels = panels.shape
    gap = max(1, round(GAP * width))
    padded = np.pad(panels, ((0, 0), (0, 0), (0, gap), (0, gap), (0, 0)), constant_values=fill)
    return padded.swapaxes(1, 2).reshape(rows * (height + gap), columns * (width + gap), channels)


def overlay(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3]: the image, the more covered by the heat's colour the hotter it is.

    Args:
        image: uint8 [H, W, 3].
        heat: [H, W] in 0 … 1; where it is 0 the image stays as it is.
    """
    opacity = STRONGEST * heat[..., None]
    return np.uint8(np.round((1 - opacity) * image + opacity * 255 * colormaps["jet"](heat)[..., :3]))
