"""Accuracy under corruption as curves over severity, and the sensitivity to each class where most is lost."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from btlib.report.figures.numbers import PERCENT, SHARE, Score, spoken
from btlib.report.figures.style import BLACK, GRID, MARKS, SERIES, WHITE, in_percent

COLUMNS = 5  # nine corruptions and their mean fill two rows
SENSITIVITY = Score("sensitivity", 0, 100.0, PERCENT)
MEAN = "mean of all"


def accuracy_figure(table: dict) -> Figure:
    """Accuracy against severity, a panel for each corruption and one for their mean, a line for each model.

    Args:
        table: from `robustness_table`.
    """
    models = table["models"]
    panels = [*next(iter(models.values()))["corruptions"], MEAN]
    rows = -(-len(panels) // COLUMNS)
    width = min(COLUMNS, len(panels))
    figure = Figure(figsize=(2.5 * width, 2.35 * rows + 0.9 + 0.12 * len(models)), layout="constrained")
    grid = figure.subplots(rows, width, sharex=True, sharey=True, squeeze=False)
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    for axes, panel in zip(grid.flat, panels, strict=False):
        for number, (name, model) in enumerate(models.items()):
            severities, accuracies = _curve(model, panel)
            style = {"color": SERIES[number % len(SERIES)], "marker": MARKS[number % len(MARKS)], "markersize": 4.5}
            axes.plot(severities, accuracies, **style, linewidth=1.5, label=_label(name, model))
        axes.set_title(spoken(panel), fontsize=11, fontweight="bold" if panel == MEAN else "normal")
        axes.grid(axis="y", color=GRID)
        axes.spines[["top", "right"]].set_visible(False)
    grid[0, 0].set_xticks(severities)
    for axes in grid[-1]:
        axes.set_xlabel("severity (0: clean)")
    for axes in grid[:, 0]:
        axes.set_ylabel("test accuracy")
        in_percent(axes.yaxis)
    lines = grid[0, 0].get_legend_handles_labels()
    figure.legend(*lines, loc="outside lower center", ncols=min(2, len(models)), frameon=False, fontsize=9)
    figure.suptitle("Accuracy on corrupted test images")
    return figure


def sensitivity_figure(table: dict, worst: int) -> Figure:
    """Heat tables of models by classes: clean, then the corruptions with the lowest mean accuracy.

    Args:
        table: from `robustness_table`.
        worst: how many corruptions to show.
    """
    models = table["models"]
    panels = {"clean": [model["clean"] for model in models.values()]}
    panels |= {name: [m["corruptions"][name]["mean"] for m in models.values()] for name in worst_corruptions(table)}
    panels = dict(list(panels.items())[: 1 + worst])
    figure = Figure(figsize=(1.6 + 2.3 * len(panels), 1.5 + 0.42 * len(models)), layout="constrained")
    for axes, (name, scores) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        _cells(axes, [list(row["sensitivity"].values()) for row in scores])
        axes.set_title(spoken(name), fontsize=11)
        axes.set_xticks(range(len(scores[0]["sensitivity"])), map(spoken, scores[0]["sensitivity"]), rotation=30)
        axes.set_yticks(range(len(models)), map(spoken, models) if name == "clean" else [])
        axes.tick_params(length=0, labelsize=9)
    figure.suptitle("Sensitivity to each class, mean over severities: clean and where most is lost", fontsize=11)
    return figure


def worst_corruptions(table: dict) -> list[str]:
    """The corruptions, sorted by the models' mean accuracy over severities, the lowest first."""
    models = list(table["models"].values())
    means = {
        name: np.mean([model["corruptions"][name]["mean"]["accuracy"] for model in models])
        for name in models[0]["corruptions"]
    }
    return sorted(means, key=means.__getitem__)


def _curve(model: dict, panel: str) -> tuple[list[int], np.ndarray]:
    """Severities from 0 (clean) on, and the accuracy at each: on one corruption, or its mean over all."""
    chosen = model["corruptions"].values() if panel == MEAN else [model["corruptions"][panel]]
    severities = [int(severity) for severity in next(iter(chosen))["severities"]]
    corrupted = [[row["severities"][str(s)]["accuracy"] for s in severities] for row in chosen]
    return [0, *severities], np.append(model["clean"]["accuracy"], np.mean(corrupted, axis=0))


def _label(name: str, model: dict) -> str:
    mca = SHARE.estimate(model["mca"], model["ci95"]["mca"])
    return f"{spoken(name)}: clean {SHARE.said(model['clean']['accuracy'])}, mCA {mca}"


def _cells(axes: Axes, values: list[list[float]]) -> None:
    axes.imshow(values, cmap="cividis", vmin=0, vmax=1, aspect="auto")
    for (row, column), value in np.ndenumerate(np.array(values)):
        color = BLACK if value > 0.55 else WHITE
        axes.text(column, row, SENSITIVITY.said(value), ha="center", va="center", fontsize=9, color=color)
