"""Training curves: live through DVCLive, and as the paper's Figures 8 and 9."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from dvclive import Live
from matplotlib.figure import Figure

from btlib.core.runtime.artifacts import write_figure


def live_curves(folder: Path, writes: bool) -> tuple[Live, Callable[[str, dict[str, Any]], None]]:
    """A DVCLive logger that writes only into `folder`, and the `on_epoch` callback that feeds it.

    Args:
        writes: whether this process logs; of several, only the first may.
    """
    # Without these options DVCLive edits dvc.yaml and makes an experiment of every run.
    live = Live(dir=str(folder), dvcyaml=None, save_dvc_exp=False, report=None)

    def on_epoch(arm: str, row: dict[str, Any]) -> None:
        if not writes:
            return
        live.step = row["epoch"]
        for name, value in row.items():
            if name != "epoch":
                live.log_metric(f"{arm}/{name}", value)
        live.make_summary()

    return live, on_epoch


def draw_curves(path: Path, history: Sequence[dict[str, Any]], score: str, title: str) -> None:
    """Score (such as accuracy) and loss against the epoch, training and validation (Figure 8 or 9), as a PNG."""
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
    figure.suptitle(title if history else f"{title} (no epochs in this stage)")
    write_figure(path, figure)
