"""Overlap of heat maps with the lesion, scored from the table made by `core.explain.faithfulness`."""

import numpy as np
import pandas as pd

from btlib.core.metrics.resampling import interval, stratified_weights

MEASURES = ("pointing_hit", "heat_share", "lesion_share")


def localization_scores(table: pd.DataFrame, names: list[str], resamples: int, rng: np.random.Generator) -> dict:
    """Means with 95 % intervals per kind of map, over all images and by true class.

    Args:
        table: one row per image and map: image_id, label, map, pointing_hit (whether the hottest pixel is in the
            lesion), heat_share (share of the heat inside the lesion), lesion_share (the lesion's share of the area,
            which is the heat share of a uniform map), group (images of one patient, or near copies, drawn together).
            Empty if there are no masks.
        names: the kinds of map.
        resamples: bootstrap resamples of groups within their class.

    Returns:
        {map: {"all" or class: {n, pointing_hit, heat_share, lesion_share, heat_over_uniform, ci95}}}; only
        {"all": nulls} without rows. heat_over_uniform is the mean heat share divided by the mean lesion share: 1 for
        an uninformative map.
    """
    return {name: _scores_of_map(table[table["map"] == name], resamples, rng) for name in names}


def _scores_of_map(table: pd.DataFrame, resamples: int, rng: np.random.Generator) -> dict:
    if table.empty:
        return {"all": {"n": 0, **dict.fromkeys((*MEASURES, "heat_over_uniform", "ci95"))}}
    weights = stratified_weights(table["label"].to_numpy(), resamples, rng, table["group"].to_numpy())
    scores = {"all": _scores(table, weights)}
    for label in sorted(set(table["label"])):
        rows = (table["label"] == label).to_numpy()
        scores[label] = _scores(table[rows], weights[:, rows])
    return scores


def _scores(table: pd.DataFrame, weights: np.ndarray) -> dict:
    values = table[list(MEASURES)].to_numpy(dtype=float)
    means, resampled = values.mean(axis=0), weights @ values / weights.sum(axis=1, keepdims=True)
    ratio, ratios = means[1] / means[2], resampled[:, 1] / resampled[:, 2]
    scores = dict(zip(MEASURES, map(float, means), strict=True))
    intervals = {name: interval(resampled[:, i]) for i, name in enumerate(MEASURES)}
    return {
        "n": len(table),
        **scores,
        "heat_over_uniform": float(ratio),
        "ci95": {**intervals, "heat_over_uniform": interval(ratios)},
    }
