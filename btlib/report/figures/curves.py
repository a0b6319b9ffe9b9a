"""Training curves (Figures 8 and 9)."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from btlib.report.figures.style import GRID, SERIES


def curves_figure(card: Mapping[str, Any], score: str) -> Figure:
    """Score (such as accuracy) and loss against the epoch, training and validation (Figure 8 or 9).

    Args:
        card: of a trained network, with its stage and history.
    """
    history: Sequence[Mapping[str, Any]] = card["history"]
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.subplots(1, 2)
    epochs = [row["epoch"] + 1 for row in history]
    labels = {score: ("training (augmented)", "validation")}
    labels["loss"] = ("training, as optimised", "validation, log loss")
    for axis, (quantity, names) in zip(axes, labels.items(), strict=True):
        for part, label, color in zip(("train", "val"), names, SERIES, strict=False):
            values = [row[f"{part}_{quantity}"] for row in history]
            axis.plot(epochs, values, marker="o", ms=3, color=color, label=label)
        axis.set(xlabel="epoch", ylabel=quantity)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.grid(color=GRID)
        axis.legend()
    title = f"{card['stage']}: training and validation"
    figure.suptitle(title if history else f"{title} (no epochs in this stage)")
    return figure
