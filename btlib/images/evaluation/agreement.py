"""Agreement of heat maps between seeds, by class, from the table made by `btlib.images.explain.consistency`."""

import numpy as np
import pandas as pd

from btlib.core.metrics.resampling import interval, stratified_weights

MEASURES = ("agreement", "shuffled")


def agreement_scores(table: pd.DataFrame, resamples: int, rng: np.random.Generator) -> dict:
    """{map: {"all" or class: {n, agreement, shuffled, ci95}}}: mean correlations with 95 % bootstrap intervals.

    Args:
        table: image_id, label, map, agreement, shuffled; rows with an empty cell are dropped and not counted in n.
        resamples: bootstrap resamples of images within their class.
    """
    known = table.dropna(subset=list(MEASURES))
    return {name: _scores_of_map(rows, resamples, rng) for name, rows in known.groupby("map", sort=False)}


def _scores_of_map(rows: pd.DataFrame, resamples: int, rng: np.random.Generator) -> dict:
    weights = stratified_weights(rows["label"].to_numpy(), resamples, rng)
    parts = {"all": np.ones(len(rows), dtype=bool)}
    parts |= {label: (rows["label"] == label).to_numpy() for label in sorted(set(rows["label"]))}
    return {name: _scores(rows[part], weights[:, part]) for name, part in parts.items()}


def _scores(rows: pd.DataFrame, weights: np.ndarray) -> dict:
    values = rows[list(MEASURES)].to_numpy(dtype=float)
    resampled = weights @ values / weights.sum(axis=1, keepdims=True)
    return {
        "n": len(rows),
        **dict(zip(MEASURES, map(float, values.mean(axis=0)), strict=True)),
        "ci95": {name: interval(resampled[:, i]) for i, name in enumerate(MEASURES)},
    }
