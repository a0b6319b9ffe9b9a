"""Segmentation quality by region: Dice, 95 % Hausdorff distance and volumes.

Empty masks are scored as in BraTS: best if both are empty (Dice 1, HD95 0), worst if one is (Dice 0, HD95 the diagonal
of the grid; BraTS's 373.13 mm is that of 240 × 240 × 155 voxels of 1 mm).
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.ndimage import binary_erosion, find_objects
from scipy.spatial import KDTree

from btlib.core.metrics.outlines import dice
from btlib.volumes.data.conventions import REGIONS
from btlib.volumes.evaluation.tables import SEGMENTATION


class Outlined(NamedTuple):
    """True and predicted regions of a case, bool [3, X, Y, Z] on one grid in the order of REGIONS.

    raw: the prediction without post-processing; spacing: in mm (`nibabel.affines.voxel_sizes`).
    """

    name: str
    truth: np.ndarray
    prediction: np.ndarray
    raw: np.ndarray
    spacing: Sequence[float]


def segmentation_table(cases: Iterable[Outlined]) -> pd.DataFrame:
    """One row per case and region: case, region, dice, hd95 in mm, truth_ml, predicted_ml, dice_raw.

    Args:
        cases: read one by one, so that a generator never holds more than one case.
    """
    rows = [
        {"case": case.name, "region": region, **_scores(true, predicted, case.spacing), "dice_raw": dice(true, raw)}
        for case in cases
        for region, true, predicted, raw in zip(REGIONS, case.truth, case.prediction, case.raw, strict=True)
    ]
    return pd.DataFrame(rows, columns=SEGMENTATION)


def hd95(truth: np.ndarray, prediction: np.ndarray, spacing: Sequence[float]) -> float:
    """The larger of the two 95th percentiles of the distances from one surface to the other.

    A surface voxel has a face neighbour outside the mask; everything beyond the grid is outside.

    Args:
        truth: bool [X, Y, Z].
        prediction: bool [X, Y, Z].
        spacing: mm between voxels along each axis.

    Returns:
        mm; 0 if both masks are empty, the grid's diagonal if one is.
    """
    if not truth.any() or not prediction.any():
        return 0.0 if truth.any() == prediction.any() else float(np.linalg.norm(np.multiply(truth.shape, spacing)))
    first, second = (_surface(mask) * np.asarray(spacing) for mask in (truth, prediction))
    distances = KDTree(second).query(first)[0], KDTree(first).query(second)[0]
    return float(max(np.percentile(distance, 95) for distance in distances))


def _surface(mask: np.ndarray) -> np.ndarray:
    """[n, 3] voxel indices of the surface of a mask that is not empty."""
    box = find_objects(mask.view(np.uint8))[0]  # a tumour fills a small part of the grid
    inside = mask[box]
    return np.argwhere(inside & ~binary_erosion(inside)) + [side.start for side in box]


def _scores(truth: np.ndarray, prediction: np.ndarray, spacing: Sequence[float]) -> dict[str, float]:
    voxel_ml = float(np.prod(spacing)) / 1000
    return {
        "dice": dice(truth, prediction),
        "hd95": hd95(truth, prediction, spacing),
        "truth_ml": np.count_nonzero(truth) * voxel_ml,
        "predicted_ml": np.count_nonzero(prediction) * voxel_ml,
    }
