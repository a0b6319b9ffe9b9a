"""An ablation table (`btlib.images.evaluation.ablation`) as a forest plot."""

from textwrap import shorten

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from btlib.core.metrics.classification import COMPARED, METRICS
from btlib.report.figures.numbers import p_value, spoken
from btlib.report.figures.style import BLACK, ONE_SEED, OURS, PAPER, WHITE, WORDS, in_percent, stripes
from btlib.report.figures.wording import scores_of

TITLES = {name: METRICS[name].label for name in COMPARED}
SCORES = scores_of(METRICS)
TESTS = {"paired_t": "paired t", "corrected_paired_t": "corrected t", "mcnemar": "McNemar"}
LIFT = 0.24  # of a row: the paper's mark above the interval, the seeds below, so that none hides another


def forest_figure(table: dict, title: str) -> Figure:
    """A row per arm: mean test accuracy with its 95 % interval, the single seeds, the paper's value, and p.

    Args:
        table: from `ablation_table`.
        title: of the figure.
    """
    rows = table["rows"]
    figure = Figure(figsize=(9, 2 + 0.42 * len(rows)), layout="constrained")
    axes = figure.subplots()
    stripes(axes, len(rows))
    _estimates(axes, rows)
    _marks(axes, rows)
    for number, row in enumerate(rows):
        _words(axes, number, row)
    axes.set_yticks(range(len(rows)), [_label(row) for row in rows])
    axes.tick_params(axis="y", length=0)
    axes.set(ylim=(len(rows) - 0.5, -0.5), xlabel="test accuracy")
    in_percent(axes.xaxis)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.text(1.02, 1, "p (corrected t, Holm)", transform=axes.transAxes, va="bottom", fontsize=9, color=WORDS)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False, fontsize=9)
    figure.suptitle(title)
    return figure


def _estimates(axes: Axes, rows: list[dict]) -> None:
    """The mean of every arm with its interval, and the line of the proposed model."""
    finished = [(number, row) for number, row in enumerate(rows) if row["mean"]["accuracy"] is not None]
    for _, row in finished:
        if row["tests"] is None:
            axes.axvline(row["mean"]["accuracy"], color=BLACK, linestyle="--", linewidth=1, label="proposed, mean")
    numbers = [number for number, _ in finished]
    low, high = np.array([row["ci95"]["accuracy"] for _, row in finished]).T
    axes.hlines(numbers, low, high, color=OURS, linewidth=2, label="95 % interval (test images)")
    means = [row["mean"]["accuracy"] for _, row in finished]
    axes.plot(means, numbers, "o", color=OURS, markersize=7, label="mean over seeds")


def _marks(axes: Axes, rows: list[dict]) -> None:
    """The single seeds, and what the paper reports where it does."""
    seeds = [
        (seed["accuracy"], n + LIFT) for n, row in enumerate(rows) for seed in row["seeds"] if "failed" not in seed
    ]
    axes.plot(*np.array(seeds).T, "o", color=ONE_SEED, markersize=4, markeredgecolor=WHITE, mew=0.4, label="one seed")
    paper = [(row["paper"]["accuracy"], n - LIFT) for n, row in enumerate(rows) if row["paper"]]
    if paper:
        axes.plot(*np.array(paper).T, "D", color=PAPER, mfc="none", mew=1.6, markersize=6, label="the paper")


def _words(axes: Axes, number: int, row: dict) -> None:
    """The p at the right, and why there is no mark where every run failed."""
    at_row = axes.get_yaxis_transform()  # x in parts of the axes, y in rows
    p = "reference" if row["tests"] is None else p_value(row["p_value"])
    axes.text(1.02, number, p, transform=at_row, va="center", fontsize=10)
    if row["mean"]["accuracy"] is None:
        reason = row["seeds"][0]["failed"] if row["seeds"] else "not run"
        text = f"✗ {shorten(reason, 60)}"
        axes.text(0.02, number + LIFT, text, transform=at_row, va="center", fontsize=9, color=WORDS)


def _label(row: dict) -> str:
    """'cross attention', and 'cross attention (2 of 3 seeds)' where one failed."""
    failed = any("failed" in seed for seed in row["seeds"])
    return spoken(row["arm"]) + (f" ({seeds_words(row)} seeds)" if failed else "")


def seeds_words(row: dict) -> str:
    """'3', or '2 of 3' where one failed."""
    done, every = sum("failed" not in seed for seed in row["seeds"]), len(row["seeds"])
    return str(every) if done == every else f"{done} of {every}"
