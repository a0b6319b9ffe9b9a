"""One case on one page: four modalities, truth, prediction, attention, Grad-CAM and uncertainty."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import Normal, Stroke
from scipy.ndimage import find_objects

from btlib.report.figures.numbers import SHARE
from btlib.report.figures.style import BLACK, GRID, REGION_COLORS, WHITE, WORDS
from btlib.report.figures.wording import scores_of
from btlib.volumes.data.conventions import GRADES, MODALITIES, REGION_NAMES, REGIONS, regions_of
from btlib.volumes.data.store import Case
from btlib.volumes.evaluation.metrics import OUTLINES
from btlib.volumes.explain.maps import Explanation, brain_of

COLUMNS = 6
INCHES = 2.0  # width of a panel
MARGIN = 2  # voxels around the brain
GAP = 0.06  # inches between panels
ABOVE, BETWEEN, BELOW = 0.72, 0.26, 0.64  # inches for titles, for the second row's captions, and for bars and legend
WINDOW = (0.5, 99.5)  # percentiles inside the brain that are black and white, of each modality
STRONGEST = 0.85  # opacity of the highest value: anatomy stays visible beneath
SPOKEN = {"t1": "T1", "t1ce": "T1ce", "t2": "T2", "flair": "FLAIR"}
WIDTHS = {"wt": 1.3, "tc": 2.4, "et": 1.0}  # of outlines; the core is wide, since enhancing often runs along it
RIMMED = (Stroke(linewidth=2.0, foreground=WORDS), Normal())
SCORES = scores_of(OUTLINES)
DASHED = (0, (2, 1.2))
LineStyle = str | tuple[int, tuple[float, ...]]


class Shade(NamedTuple):
    """How a map is shown.

    Attributes:
        caption: above the panel.
        colors: name of a matplotlib colour map.
        highest: the value of its last colour; None for the map's maximum in the slice.
        absent: the text where the network has no such map.
    """

    caption: str
    colors: str
    highest: float | None
    absent: str


SHADES = {
    "attention": Shade("attention gate", "viridis", 1.0, "no attention gates"),
    "gradcam": Shade("Grad-CAM of the grade", "jet", 1.0, "no grading head"),
    "entropy": Shade("predictive entropy (nats)", "inferno", float(np.log(2)), "no segmentation"),
    "mutual_information": Shade("mutual information (nats)", "inferno", None, "no segmentation\nor no dropout"),
}


def case_title(row: Any, segmentation: pd.DataFrame) -> str:
    """'BraTS20_Training_007: true grade HGG, predicted ✓ HGG 97.3 %', and on a second line the Dice where it is known.

    Args:
        row: of a table of grade predictions, by attribute.
        segmentation: of `evaluation.tables.SEGMENTATION`.
    """
    scores = segmentation[segmentation["case"] == row.case].set_index("region")["dice"]
    found = {region: SCORES[f"dice_{region}"].said(scores[region]) for region in REGIONS if region in scores}
    dice = ", ".join(f"{REGION_NAMES[region]} {value}" for region, value in found.items())
    return f"{row.case}: {_graded(row)}" + (f"\nDice: {dice}" if dice else "")


def _graded(row: Any) -> str:
    true = f"true grade {row.grade}" if row.grade else "grade unknown"
    if np.isnan(row.p_HGG):
        return f"{true}, not graded by this network"
    said = GRADES[int(row.p_HGG > row.p_LGG)]
    sign = {"": "", said: "✓ "}.get(row.grade, "✗ ")
    return f"{true}, predicted {sign}{said} {SHARE.said(max(row.p_HGG, row.p_LGG))}"


def explanation_figure(title: str, case: Case, found: Explanation) -> Figure:
    """Axial slices where there is most of the tumour, a coronal and a sagittal one; R: right, A: front.

    Args:
        title: one or two lines.
        case: its image and, where there is one, its segmentation.
        found: what the network says of it.
    """
    brain = brain_of(case.image)
    box = _box(brain)
    truth = None if case.seg is None else regions_of(case.seg[box])
    masks = None if found.masks is None else found.masks[box]
    at = _fullest_slices(_interest(truth, masks, brain[box]))
    gray = {name: _windowed(one, brain)[box] for name, one in zip(MODALITIES, case.image, strict=True)}
    true, predicted = (None if found is None else _axial(found, at) for found in (truth, masks))
    t1ce = _axial(gray["t1ce"], at)

    figure, panels = _panels(brain[box].shape)
    figure.suptitle(title, fontsize=11, y=1 - 0.1 / figure.get_figheight(), va="top")
    for axes, (name, volume) in zip(panels, gray.items(), strict=False):
        _show(axes, SPOKEN[name], _axial(volume, at))
    _mark(panels[0], "R")
    _outlined(panels[4], "truth, on T1ce", t1ce, true, "no segmentation\nwith this case")
    _outlined(panels[5], "prediction, on T1ce", t1ce, predicted, "no segmentation")
    for axes, (name, shade) in zip(panels[6:], SHADES.items(), strict=False):
        values = getattr(found, name)
        values = None if values is None else _axial(np.where(brain, values, 0)[box], at)
        _mapped(axes, shade, t1ce, values, true)
    for axes, (name, view, left) in zip(panels[10:], SIDE_VIEWS, strict=True):
        _show(axes, f"{name}, on FLAIR", view(gray["flair"], at))
        _contours(axes, None if truth is None else view(truth, at), "-")
        _contours(axes, None if masks is None else view(masks, at), DASHED)
        axes.axhline(at[2], color=WHITE, linewidth=0.6, linestyle=":")
        _mark(axes, left)
    _legend(figure, truth is not None)
    return figure


def _box(brain: np.ndarray) -> tuple:
    """Index of what is shown of volumes [..., X, Y, Z]: the brain and MARGIN voxels around it where there are some."""
    found = find_objects(brain.astype(np.uint8))[0]
    return (..., *(slice(max(0, side.start - MARGIN), side.stop + MARGIN) for side in found))


def _panels(shape: tuple[int, int, int]) -> tuple[Figure, list[Axes]]:
    """Two rows of six black panels in the shape of an axial slice."""
    tall = INCHES * shape[1] / shape[0]
    width, height = COLUMNS * (INCHES + GAP) + GAP, 2 * tall + ABOVE + BETWEEN + BELOW
    figure = Figure(figsize=(width, height))
    corners = [(GAP + k * (INCHES + GAP), BELOW + row * (tall + BETWEEN)) for row in (1, 0) for k in range(COLUMNS)]
    panels = [figure.add_axes((x / width, y / height, INCHES / width, tall / height)) for x, y in corners]
    for axes in panels:
        axes.set(xticks=[], yticks=[], facecolor=BLACK)
    return figure, panels


def _interest(truth: np.ndarray | None, masks: np.ndarray | None, brain: np.ndarray) -> np.ndarray:
    """Weights [X, Y, Z] that choose the slices: the true tumour, where its core and enhancing part count again; without
    one the predicted tumour, and without that the brain."""
    tumors = [regions.sum(axis=0) for regions in (truth, masks) if regions is not None]
    return next((tumor for tumor in tumors if tumor.any()), brain)


def _fullest_slices(weight: np.ndarray) -> tuple[int, ...]:
    """The slice with the largest sum along each axis."""
    return tuple(int(weight.sum(axis=tuple({0, 1, 2} - {axis})).argmax()) for axis in range(3))


def _windowed(volume: np.ndarray, brain: np.ndarray) -> np.ndarray:
    """Grey values 0 … 1 by one window for the whole volume, black outside the brain."""
    low, high = np.percentile(volume[brain].astype(np.float32), WINDOW)
    return np.where(brain, np.clip((volume.astype(np.float32) - low) / max(high - low, 1e-6), 0, 1), 0)


def _axial(volume: np.ndarray, at: tuple[int, ...]) -> np.ndarray:
    """A slice [..., row, column], rows from below, of volumes [..., X, Y, Z] in RAS; the patient's right is left."""
    return volume[..., ::-1, :, at[2]].swapaxes(-1, -2)


def _coronal(volume: np.ndarray, at: tuple[int, ...]) -> np.ndarray:
    """As `_axial`, from the front."""
    return volume[..., ::-1, at[1], :].swapaxes(-1, -2)


def _sagittal(volume: np.ndarray, at: tuple[int, ...]) -> np.ndarray:
    """As `_axial`, from the patient's left: the front is left."""
    return volume[..., at[0], ::-1, :].swapaxes(-1, -2)


SIDE_VIEWS = (("coronal", _coronal, "R"), ("sagittal", _sagittal, "A"))  # and what their left edge is


def _show(axes: Axes, caption: str, picture: np.ndarray) -> None:
    """A slice of grey values [h, w] or colours [h, w, 3], 0 … 1."""
    axes.imshow(picture, cmap="gray", vmin=0, vmax=1, origin="lower", interpolation="bilinear")
    axes.set_adjustable("datalim")  # the panel keeps its shape, whatever the slice's
    axes.set_title(caption, fontsize=9, pad=3)


def _contours(axes: Axes, regions: np.ndarray | None, style: LineStyle) -> None:
    """Outlines of masks [3, h, w]."""
    for region, name in zip([] if regions is None else regions, REGIONS, strict=False):
        if region.any():
            axes.contour(region, levels=[0.5], colors=REGION_COLORS[name], linewidths=WIDTHS[name], linestyles=[style])


def _outlined(axes: Axes, caption: str, gray: np.ndarray, regions: np.ndarray | None, absent: str) -> None:
    if regions is None:
        _say(axes, caption, absent)
    else:
        _show(axes, caption, gray)
        _contours(axes, regions, "-")


def _mapped(axes: Axes, shade: Shade, gray: np.ndarray, values: np.ndarray | None, truth: np.ndarray | None) -> None:
    """A map over the anatomy, the more opaque the higher it is, with the true tumour outlined and a colour bar."""
    if values is None:
        _say(axes, shade.caption, shade.absent)
        return
    highest = shade.highest or max(float(values.max()), 1e-6)
    _show(axes, shade.caption, _blended(gray, np.clip(values / highest, 0, 1), shade.colors))
    if truth is not None and truth[0].any():
        axes.contour(truth[0], levels=[0.5], colors=WHITE, linewidths=1.0).set_path_effects(RIMMED)
    _color_bar(axes, shade.colors, highest)


def _blended(gray: np.ndarray, share: np.ndarray, colors: str) -> np.ndarray:
    """[h, w, 3]: the root makes middling values nearly as opaque as high ones, so that they look as in the bar."""
    opacity = STRONGEST * np.sqrt(share)[..., None]
    mixed = (1 - opacity) * gray[..., None] + opacity * colormaps[colors](share)[..., :3]
    return np.minimum(mixed, 1)  # rounding


def _color_bar(axes: Axes, colors: str, highest: float) -> None:
    bar = axes.inset_axes((0.04, -0.07, 0.92, 0.03))
    scale = ScalarMappable(Normalize(0, highest), colors)
    axes.figure.colorbar(scale, cax=bar, orientation="horizontal", ticks=[0, highest], format="%.2g")
    bar.tick_params(labelsize=7, length=2, pad=1)
    for label, side in zip(bar.get_xticklabels(), ("left", "right"), strict=True):
        label.set_horizontalalignment(side)


def _say(axes: Axes, caption: str, text: str) -> None:
    axes.set_title(caption, fontsize=9, pad=3)
    axes.text(0.5, 0.5, text, color=GRID, ha="center", va="center", transform=axes.transAxes, fontsize=9)


def _mark(axes: Axes, side: str) -> None:
    axes.text(0.03, 0.97, side, color=GRID, va="top", transform=axes.transAxes, fontsize=9)


def _legend(figure: Figure, with_truth: bool) -> None:
    lines = [
        Line2D([], [], color=color, linewidth=2, label=REGION_NAMES[name]) for name, color in REGION_COLORS.items()
    ]
    if with_truth:
        lines += [
            Line2D([], [], color=WORDS, linestyle="-", label="truth"),
            Line2D([], [], color=WORDS, linestyle=DASHED, label="prediction, where both are drawn"),
            Line2D([], [], color=WHITE, linewidth=1.0, path_effects=RIMMED, label="true whole tumour, on maps"),
        ]
    lines.append(Line2D([], [], color=WORDS, linestyle=":", linewidth=0.8, label="level of the axial slice"))
    figure.legend(handles=lines, loc="lower center", ncols=len(lines), fontsize=8, frameon=False, borderaxespad=0.3)
