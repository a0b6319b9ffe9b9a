"""Figures that compare joint networks: the ablation as a forest plot, and the scores when modalities are missing."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from btlib.core.runtime.arm_names import FULL
from btlib.report.figures.files import FigureFolder
from btlib.report.figures.numbers import PERCENT, p_value, spoken
from btlib.report.figures.style import ABSENT, BLACK, FAINT, GRID, MARKS, SERIES, WHITE, in_percent, stripes
from btlib.report.figures.volume_claims import LEVEL, SCORES, SHOWN, TITLES, TRAINED, arm_name, mean_sd
from btlib.report.figures.volume_scores import uncertainty_figure
from btlib.volumes.data.conventions import MODALITIES
from btlib.volumes.evaluation.modalities import SUBSETS
from btlib.volumes.evaluation.tables import DICE

COMPARED = (*DICE, "grade_accuracy", "grade_auc")
LIFT = 0.27  # of a row: words above the interval they belong to
AVERAGE = "average"


def write_comparison_figures(
    figures: FigureFolder, table: dict, missing: dict, doubt: list[dict], voxels: pd.DataFrame
) -> None:
    """Writes forest.png, modalities.png and uncertainty.png, each where there is something to show.

    Args:
        table: from `joint_ablation.joint_ablation_table`.
        missing: from `modalities.modality_table`.
        doubt: from `uncertainty.uncertainty_rows`.
        voxels: columns `tables.VOXEL_ERRORS`.
    """
    if any(row["difference"] for row in table["rows"]):
        figures.write("forest.png", joint_forest_figure(table))
    if missing["rows"]:
        figures.write("modalities.png", modality_figure(missing))
    if doubt:
        figures.write("uncertainty.png", uncertainty_figure(doubt, voxels))


def joint_forest_figure(table: dict) -> Figure:
    """A panel per score: each arm minus the full network with its paired 95 % interval and adjusted p.

    Left of the line the full network is better. A filled mark is a difference that counts as shown.

    Args:
        table: from `joint_ablation.joint_ablation_table`, with the full network among its rows.
    """
    full = next(row for row in table["rows"] if row["arm"] == FULL)
    rows = [row for row in table["rows"] if row["difference"]]
    figure = Figure(figsize=(14.5, 1.9 + 0.62 * max(2, len(rows))), layout="constrained")
    panels = figure.subplots(1, len(COMPARED), sharey=True)
    for axes, name in zip(panels, COMPARED, strict=True):
        for number, row in enumerate(rows):
            _difference(axes, number, row["difference"], name)
        stripes(axes, len(rows))
        axes.axvline(0, color=BLACK, linewidth=1)
        reach = 1.15 * max((abs(end) for row in rows for end in row["difference"][name]["ci95"] or ()), default=0)
        axes.set(xlim=(-max(reach, 0.01), max(reach, 0.01)), ylim=(len(rows) - 0.5, -0.6))
        axes.set_title(f"{TITLES[name]}\nfull: {mean_sd(full, name)}", fontsize=11)
        axes.set_xlabel("← full better   arm better →", fontsize=9)
        axes.locator_params(axis="x", nbins=4)
        if SCORES[name].behind == PERCENT:
            in_percent(axes.xaxis)
        axes.tick_params(axis="y", length=0)
        axes.spines[["top", "right", "left"]].set_visible(False)
    panels[0].set_yticks(range(len(rows)), [arm_name(row["arm"]) for row in rows])
    figure.suptitle("Does joint help? Each arm minus the full network, 95 % intervals, Holm-adjusted p")
    return figure


def _difference(axes: Axes, number: int, differences: dict, name: str) -> None:
    """One arm: the difference with its interval, and above, on the other side of 0, the difference and p in words."""
    found, score = differences[name], SCORES[name]
    in_row = {"transform": axes.get_yaxis_transform(), "va": "center", "fontsize": 8.5}
    if found["value"] is None:
        axes.text(0.03, number, "no such score", color=FAINT, **in_row)
        return
    shown = found["p_holm"] is not None and found["p_holm"] <= LEVEL
    axes.hlines(number, *found["ci95"], color=SERIES[0], linewidth=2)
    style = {"markerfacecolor": SERIES[0] if shown else WHITE, "markeredgewidth": 1.6, "markersize": 7}
    axes.plot(found["value"], number, "o", color=SERIES[0], **style)
    place = {"x": 0.03, "ha": "left"} if found["value"] > 0 else {"x": 0.97, "ha": "right"}
    words = f"{score.signed(found['value'])}, p {p_value(found['p_holm'])}"
    axes.text(y=number - LIFT, s=words, **place, **in_row)


def modality_figure(table: dict) -> Figure:
    """The given modalities as dots, and beside them Dice and grade AUC with 95 % intervals for each arm.

    Args:
        table: from `modalities.modality_table`.
    """
    places = [*SUBSETS, AVERAGE]
    figure = Figure(figsize=(14, 7), layout="constrained")
    dots, *panels = figure.subplots(1, 1 + len(SHOWN), sharey=True, width_ratios=(0.75, 1, 1, 1, 1))
    _dots(dots)
    rows = {(row["arm"], "+".join(row["modalities"])): row for row in table["rows"]}
    rows |= {(arm, AVERAGE): row for arm, row in table["average"].items()}
    for axes, name in zip(panels, SHOWN, strict=True):
        for number, arm in enumerate(table["average"]):
            y = np.arange(len(places)) + (number - (len(table["average"]) - 1) / 2) * 0.34
            _points(axes, [rows[arm, place] for place in places], y, name, number, TRAINED.get(arm, spoken(arm)))
        stripes(axes, len(places))
        axes.set(title=TITLES[name], xlim=(-0.02, 1.02))
        axes.grid(axis="x", color=GRID)
        axes.tick_params(axis="y", length=0)
        axes.spines[["top", "right", "left"]].set_visible(False)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    figure.suptitle("Missing modalities: mean over test cases, 95 % intervals")
    return figure


def _dots(axes: Axes) -> None:
    """A row per subset: a dot per modality, dark and joined where it is given."""
    for number, subset in enumerate(SUBSETS):
        there = [place for place, name in enumerate(MODALITIES) if name in subset.split("+")]
        axes.plot(range(len(MODALITIES)), [number] * len(MODALITIES), "o", color=ABSENT, markersize=9)
        axes.plot(there, [number] * len(there), "o-", color=BLACK, markersize=9, linewidth=2)
    axes.text(1.5, len(SUBSETS), AVERAGE, ha="center", va="center", fontweight="bold")
    axes.xaxis.tick_top()
    axes.set_xticks(range(len(MODALITIES)), [name.upper() for name in MODALITIES])
    axes.set(yticks=[], xlim=(-0.6, len(MODALITIES) - 0.4), ylim=(len(SUBSETS) + 0.6, -0.6))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _points(axes: Axes, rows: list[dict], y: np.ndarray, name: str, number: int, label: str) -> None:
    """The values of one arm with their intervals, one at each height; none where undefined."""
    known = [place for place, row in enumerate(rows) if row["ci95"][name]]
    if known:
        heights, values = y[known], [rows[place]["mean"][name] for place in known]
        low, high = np.array([rows[place]["ci95"][name] for place in known]).T
        axes.hlines(heights, low, high, color=SERIES[number], linewidth=1.5, alpha=0.6)
        axes.plot(values, heights, MARKS[number], color=SERIES[number], markersize=5.5, label=label)
