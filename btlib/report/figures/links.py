"""Are linked images and the others two populations? Hash distance and correlation of every image's best match."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure


def link_figure(matches: pd.DataFrame, linked: np.ndarray, distance: int, correlation: float) -> Figure:
    """A scatter of all best matches with both thresholds, and the histogram of the correlations.

    Args:
        matches: `distance, correlation` of N images.
        linked: bool [N].
        distance, correlation: the thresholds.
    """
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    scatter, histogram = figure.subplots(1, 2)
    kinds = (("linked", linked, "tab:blue"), ("not linked", ~linked, "tab:orange"))
    for name, rows, color in kinds:
        label = f"{name}: {rows.sum():,}"
        scatter.scatter(matches["distance"][rows], matches["correlation"][rows], s=6, alpha=0.4, c=color, label=label)
    parts = [matches["correlation"][rows] for _, rows, _ in kinds]
    histogram.hist(parts, bins=60, stacked=True, log=True, color=[color for *_, color in kinds])
    scatter.axvline(distance, c="grey", ls="--", lw=1)
    scatter.axhline(correlation, c="grey", ls="--", lw=1)
    histogram.axvline(correlation, c="grey", ls="--", lw=1)
    scatter.set(xlabel="bits of 256 between the hashes", ylabel="correlation at 64 × 64 pixels", title=_gap(parts))
    histogram.set(xlabel="correlation of each image with its best match", ylabel="images", title="Thresholds: dashed")
    scatter.legend(loc="lower left", fontsize="small")
    return figure


def _gap(parts: list[pd.Series]) -> str:
    linked, others = parts
    if linked.empty or others.empty:
        return "Best match of each image"
    return f"Linked from {linked.min():.4f} on, others up to {others.max():.4f}"
