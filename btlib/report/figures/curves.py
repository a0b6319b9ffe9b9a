"""Training curves (Figures 8 and 9)."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from btlib.report.figures.wording import titled


def curves_figure(card: Mapping[str, Any], score: str, note: str) -> Figure:
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
        for part, label in zip(("train", "val"), names, strict=True):
            axis.plot(epochs, [row[f"{part}_{quantity}"] for row in history], marker="o", ms=3, label=label)
        axis.set(xlabel="epoch", ylabel=quantity)
        axis.grid(alpha=0.3)
        axis.legend()
    title = titled(f"{card['stage']}: training and validation", note)
    figure.suptitle(title if history else f"{title} (no epochs in this stage)")
    return figure
