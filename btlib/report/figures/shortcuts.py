"""The experiments on shortcuts (`btlib.images.evaluation.shortcuts`) as one figure."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from btlib.report.figures.numbers import count, spoken
from btlib.report.figures.style import BLACK, CHANCE, SERIES, WHITE


def shortcut_figure(scores: dict) -> Figure:
    """Accuracy by view and model, share called a tumour by pasted lesion and by contrast, accuracy at equal greys.

    Args:
        scores: `views`, `pasted`, `contrasts`, `matched` as the scores of those names give them.
    """
    figure = Figure(figsize=(18, 4.4), layout="constrained")
    views, pasted, contrasts, matched = figure.subplots(1, 4, width_ratios=(4, 4.4, 4, 3.4))
    bars = {
        model: {view: (s["accuracy"], s["ci95"]["accuracy"]) for view, s in of.items()}
        for model, of in scores["views"].items()
    }
    _grouped(views, bars, "accuracy")
    chance = next(iter(next(iter(scores["views"].values())).values()))["chance"]
    views.axhline(chance, **CHANCE, label="chance")
    views.set_title("views without the lesion")
    rows = {name: (s["called_tumor"], s["ci95"]["called_tumor"]) for name, s in scores["pasted"].items()}
    if rows:
        _grouped(pasted, {"called a tumour": rows}, "share of images without tumour")
    pasted.set_title("lesion pasted in")
    bars = {
        kind: {contrast: (s["called_tumor"], s["ci95"]) for contrast, s in of.items()}
        for kind, of in scores["contrasts"].items()
    }
    if bars:
        _grouped(contrasts, bars, "share called a tumour")
    contrasts.set_title("phantoms, one slice in every contrast")
    bars = {
        f"{subset} ({count(of['n'])})": {what: of[what] for what in ("grey_level_auc", "tumor_or_none", "class")}
        for subset, of in scores["matched"].items()
        if of["n"]
    }
    if bars:
        heights = {subset: {w: (s["value"], s["ci95"]) for w, s in of.items()} for subset, of in bars.items()}
        _grouped(matched, heights, "AUC, accuracy")
        _chance_marks(matched, [s["chance"] for of in bars.values() for s in of.values()])
    matched.set_title("equal grey levels")
    for axes in (views, pasted, contrasts, matched):
        axes.set_ylim(0, 1.02)
        if axes.containers:
            axes.legend(frameon=False, fontsize=9, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=3)
    figure.suptitle("Does the classifier read the lesion?")
    return figure


def _grouped(axes: Axes, bars: dict[str, dict[str, tuple[float, list[float]]]], label: str) -> None:
    """Bars side by side: series -> group -> (height, interval)."""
    groups = list(next(iter(bars.values())))
    width = 0.8 / len(bars)
    for number, (series, values) in enumerate(bars.items()):
        heights = np.array([values[group][0] for group in groups])
        ends = np.array([values[group][1] for group in groups]).T
        x = np.arange(len(groups)) + (number - (len(bars) - 1) / 2) * width
        errors = np.abs(ends - heights)
        axes.bar(x, heights, width * 0.92, yerr=errors, capsize=2, color=SERIES[number], label=spoken(series))
    axes.set_xticks(range(len(groups)), [spoken(group).replace(" ", "\n") for group in groups], fontsize=9)
    axes.set_ylabel(label)
    axes.spines[["top", "right"]].set_visible(False)


def _chance_marks(axes: Axes, chances: list[float]) -> None:
    """A dashed mark across each bar at its own chance; bars in the order in which they were drawn."""
    left = np.array([bar.get_x() for bar in axes.patches])
    right = left + [bar.get_width() for bar in axes.patches]
    axes.hlines(chances, left, right, color=WHITE, linewidth=2.5)  # a bar's colour would hide the dashes
    axes.hlines(chances, left, right, color=BLACK, linestyle="--", linewidth=1, label="chance")


def examples_figure(examples: dict[str, np.ndarray]) -> Figure:
    """The images shown to the classifier, a row for each experiment.

    Args:
        examples: title -> uint8 [n, S, S, 3].
    """
    columns = max(len(images) for images in examples.values())
    figure = Figure(figsize=(1.5 * columns + 1, 1.55 * len(examples) + 0.4), layout="constrained")
    grid = figure.subplots(len(examples), columns, squeeze=False)
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    for row, (title, images) in zip(grid, examples.items(), strict=True):
        row[0].set_ylabel(spoken(title), rotation=0, ha="right", va="center")
        for axes, image in zip(row, images, strict=False):
            axes.imshow(image)
    figure.suptitle("What the classifier was shown")
    return figure
