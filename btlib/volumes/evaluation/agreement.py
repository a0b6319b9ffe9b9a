"""How well the predicted volumes agree with the true ones: median error, bias and limits of agreement.

Source: Bland and Altman 1986, Statistical methods for assessing agreement between two methods of clinical measurement.
"""

from typing import Any

import numpy as np
import pandas as pd

from btlib.core.metrics.resampling import weighted_mean
from btlib.volumes.data.conventions import REGIONS
from btlib.volumes.evaluation.cohort import Cohort, estimates, intervals, weights_of

LIMITS = 1.96  # standard deviations: 95 % of normally distributed differences


def volume_agreement(segmentation: pd.DataFrame, cohort: Cohort, weights: np.ndarray) -> dict[str, dict[str, Any]]:
    """Agreement by region, over the cases that have a true segmentation.

    Args:
        segmentation: columns SEGMENTATION.
        weights: [1 + B, N] of the cohort's cases.

    Returns:
        Region -> `n` cases; `bias_ml`, the mean of predicted minus true volume; `lower_ml` and `upper_ml`, the limits
        of agreement; `median_error`, of |predicted − true| / true over the cases that have the region; and their
        `ci95`. None where undefined.
    """
    return {region: _of_region(segmentation[segmentation["region"] == region], cohort, weights) for region in REGIONS}


def weighted_median(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """[B] medians of n values with weights [B, n]: as `np.median` of each value repeated; NaN without any."""
    if not len(values):
        return np.full(len(weights), np.nan)
    order = np.argsort(values)
    passed = np.cumsum(weights[:, order], axis=1)
    half = passed[:, -1:] / 2
    middle = values[order][[(passed >= half).argmax(axis=1), (passed > half).argmax(axis=1)]].mean(axis=0)
    return np.where(half[:, 0] > 0, middle, np.nan)


def _of_region(rows: pd.DataFrame, cohort: Cohort, weights: np.ndarray) -> dict[str, Any]:
    drawn = weights_of(rows["case"], cohort.cases, weights)
    true = rows["truth_ml"].to_numpy(float)
    change = rows["predicted_ml"].to_numpy(float) - true
    bias = weighted_mean(change, drawn)
    spread = LIMITS * _deviation(change, bias, drawn)
    there = true > 0
    found = {
        "bias_ml": bias,
        "lower_ml": bias - spread,
        "upper_ml": bias + spread,
        "median_error": weighted_median(np.abs(change[there]) / true[there], drawn[:, there]),
    }
    return {"n": len(rows), **estimates(found), "ci95": intervals(found)}


def _deviation(values: np.ndarray, mean: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """[B] standard deviations of n values about the means [B]; NaN for fewer than two."""
    squares = (weights * (values - mean[:, None]) ** 2).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.sqrt(np.where(weights.sum(axis=1) > 1, squares / (weights.sum(axis=1) - 1), np.nan))
