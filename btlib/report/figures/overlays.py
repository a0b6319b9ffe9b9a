"""Grad-CAM overlays (Figure 13)."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from btlib.core.metrics.outlines import OUTLINED
from btlib.report.figures.style import BLACK, LESION, WHITE, YELLOW

STRONGEST = 0.65  # opacity of the hottest pixel: anatomy stays visible beneath
GAP = 0.02  # between panels, as a share of a panel
INCHES = 2.3  # side of a panel
HEAD, LEGEND = 0.7, 0.3  # inches above the panels, and those added for a legend
# strokes over one another, the same for a contour and the legend
TRUE_LINE = ({"color": WHITE, "linewidth": 2.2}, {"color": LESION, "linewidth": 1.1})
FOUND_LINE = ({"color": BLACK, "linewidth": 2.2}, {"color": YELLOW, "linewidth": 1.1, "linestyle": "dashed"})


def overlay_figure(
    title: str,
    images: np.ndarray,
    captions: Sequence[str],
    maps: Mapping[str, np.ndarray],
    lesions: np.ndarray,
    lesion_map: np.ndarray | None = None,
) -> Figure:
    """One row per image: the image, then each map over it; the lesion is outlined in every panel.

    A lesion map comes last, with a dashed line around what it outlines and a legend that tells the two lines apart.

    Args:
        title: of the whole figure.
        images: uint8 [N, H, W, 3], at least one.
        captions: N texts, written beside the rows.
        maps: name -> [N, H, W] in 0 … 1, one column each.
        lesions: [N, H, W] bool; an empty one is not drawn.
        lesion_map: [N, H, W] probabilities; None for a network without a lesion head.
    """
    columns = {**maps} if lesion_map is None else {**maps, "lesion map": lesion_map}
    names = ["image", *columns]
    rows = [[image, *(overlay(image, heats[row]) for heats in columns.values())] for row, image in enumerate(images)]
    panels = mosaic(np.array(rows), fill=255)
    above = HEAD if lesion_map is None else HEAD + LEGEND
    width, height = INCHES * len(names) + 0.4, INCHES * len(images) + above
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0.4 / width, 0, 1 - 0.4 / width, 1 - above / height))
    # one picture for all panels: a pair of axes for each would take ten times as long to draw
    axes.imshow(panels, aspect="auto")
    inside = np.repeat(lesions[:, None], len(names), axis=1)
    _contour(axes, inside, TRUE_LINE)
    if lesion_map is not None:
        found = np.zeros_like(inside)
        found[:, -1] = lesion_map >= OUTLINED
        _contour(axes, found, FOUND_LINE)
        known = {"true outline of the lesion": TRUE_LINE} if lesions.any() else {}
        _legend(figure, known | {f"outlined by the lesion map (probability ≥ {OUTLINED})": FOUND_LINE})
    axes.set_axis_off()
    down, across = panels.shape[0] / len(images), panels.shape[1] / len(names)
    for column, name in enumerate(names):
        axes.text((column + 0.5) * across, -0.03 * down, name, ha="center", va="bottom", fontsize=10)
    for row, caption in enumerate(captions):
        axes.text(-0.03 * across, (row + 0.5) * down, caption, ha="right", va="center", rotation=90, fontsize=10)
    figure.suptitle(title, y=1 - 0.15 / height)
    return figure


def _contour(axes: Axes, inside: np.ndarray, line: Sequence[Mapping]) -> None:
    """Draws the outlines of what is inside, bool [rows, columns, H, W]."""
    draw_line(axes, mosaic(inside[..., None], fill=False)[..., 0], 0.5, line)


def draw_line(axes: Axes, values: np.ndarray, level: float, line: Sequence[Mapping]) -> None:
    """Draws around the points of `values` [H, W] that are at least `level`, stroke over stroke.

    Nothing is drawn if that is none of them, or all.
    """
    for stroke in line if values.min() < level <= values.max() else ():
        axes.contour(values, levels=[level], **{f"{name}s": value for name, value in stroke.items()})


def legend_mark(line: Sequence[Mapping]) -> tuple[Line2D, ...]:
    """The line as a legend shows it."""
    return tuple(Line2D([], [], **stroke) for stroke in line)


def _legend(figure: Figure, lines: Mapping[str, Sequence[Mapping]]) -> None:
    """Says below the title what each line means."""
    handles = [legend_mark(line) for line in lines.values()]
    place = (0.5, 1 - 0.35 / figure.get_figheight())
    style = {"ncols": len(lines), "frameon": False, "fontsize": 10, "handlelength": 3}
    figure.legend(handles, list(lines), loc="upper center", bbox_to_anchor=place, **style)


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
