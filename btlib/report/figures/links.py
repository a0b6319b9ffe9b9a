"""Hash distance and correlation of every image's best match: linked images and others should lie far apart."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from btlib.report.figures.numbers import Score, count
from btlib.report.figures.style import FAINT, SERIES

CORRELATION = Score("correlation", 4)
THRESHOLD = {"color": FAINT, "linestyle": "--", "linewidth": 1}


def link_figure(matches: pd.DataFrame, linked: np.ndarray, distance: int, correlation: float) -> Figure:
    """A scatter of all best matches with both thresholds, and the histogram of the correlations.

    Args:
        matches: `distance, correlation` of N images.
        linked: bool [N].
        distance, correlation: the thresholds.
    """
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    scatter, histogram = figure.subplots(1, 2)
    kinds = (("linked", linked, SERIES[0]), ("not linked", ~linked, SERIES[1]))
    for name, rows, color in kinds:
        label = f"{name}: {count(rows.sum())}"
        scatter.scatter(matches["distance"][rows], matches["correlation"][rows], s=6, alpha=0.4, c=color, label=label)
    parts = [matches["correlation"][rows] for _, rows, _ in kinds]
    histogram.hist(parts, bins=60, stacked=True, log=True, color=[color for *_, color in kinds])
    scatter.axvline(distance, **THRESHOLD)
    scatter.axhline(correlation, **THRESHOLD)
    histogram.axvline(correlation, **THRESHOLD)
    scatter.set(xlabel="bits of 256 between the hashes", ylabel="correlation at 64 × 64 pixels", title=_gap(parts))
    histogram.set(xlabel="correlation of each image with its best match", ylabel="images", title="Thresholds: dashed")
    scatter.legend(loc="lower left", fontsize="small")
    return figure


def _gap(parts: list[pd.Series]) -> str:
    linked, others = parts
    if linked.empty or others.empty:
        return "Best match of each image"
    return f"Linked from {CORRELATION.said(linked.min())} on, others up to {CORRELATION.said(others.max())}"
