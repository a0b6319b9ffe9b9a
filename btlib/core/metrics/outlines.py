"""Outlines of lesions beside the true ones: their overlap, and the scores of a lesion map.

To add a metric, write its function and its entry in METRICS; estimates, intervals and `make ci-report` read these
entries.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from btlib.core.metrics.metric import Metric, registry
from btlib.core.metrics.resampling import exact_ci95, interval, stratified_weights, weighted_mean

LESION_MAP = "lesion_map"  # the kind of map of a lesion head, beside the kinds of Grad-CAM
OUTLINED = 0.5  # least probability within an outline


def dice(truth: np.ndarray, prediction: np.ndarray) -> float:
    """2 |A ∩ B| / (|A| + |B|) of two bool masks of one shape, in 0 … 1; 1 where both are empty."""
    total = np.count_nonzero(truth) + np.count_nonzero(prediction)
    return 2 * np.count_nonzero(truth & prediction) / total if total else 1.0


def outline_table(
    image_ids: Sequence[str], labels: Sequence[str], outlines: np.ndarray, lesions: np.ndarray, healthy: np.ndarray
) -> pd.DataFrame:
    """Outlines beside the true ones: image_id, label, dice, false_outline.

    Args:
        image_ids, labels: N each.
        outlines: [N, H, W] bool, whether a pixel is taken for lesion.
        lesions: [N, H, W] bool, empty if no lesion is known.
        healthy: [N] bool, whether an image without a known lesion is known to have none.

    Returns:
        One row per image with a lesion, with the `dice` of the outline, 0 if nothing is outlined, and per healthy one,
        with `false_outline`: 1 if anything is outlined, otherwise 0. The other of the two is empty (NaN).
    """
    rows = []
    for image_id, label, found, lesion, none in zip(image_ids, labels, outlines, lesions, healthy, strict=True):
        if lesion.any():
            rows.append((image_id, label, dice(lesion, found), np.nan))
        elif none:
            rows.append((image_id, label, np.nan, float(found.any())))
    return pd.DataFrame(rows, columns=["image_id", "label", "dice", "false_outline"])


def weighted_median(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """[B] medians of n values, at least one, of which value i occurs weights[b, i] times."""
    order = np.argsort(values)
    counts = weights[:, order].cumsum(axis=1)
    half = counts[:, -1:] / 2
    lower, upper = (counts >= half).argmax(axis=1), (counts > half).argmax(axis=1)
    return (values[order][lower] + values[order][upper]) / 2


COLUMNS = {"dice": "dice", "dice_median": "dice", "false_outlines": "false_outline"}  # of the table, by metric
OF_LESIONS = ("dice", "dice_median")
METRICS = registry(
    (
        Metric("dice", weighted_mean, "Dice", "Dice 1945; mean over the images with a lesion"),
        Metric("dice_median", weighted_median, "median Dice", "the same, the median"),
        Metric(
            "false_outlines",
            weighted_mean,
            "anything outlined without a lesion",
            "share of the images without a lesion",
            "",
            1,
            "%",
            higher_is_better=False,
        ),
    )
)


def outline_scores(table: pd.DataFrame, resamples: int, rng: np.random.Generator) -> dict:
    """METRICS with 95 % intervals over all images, and the Dice by true class.

    Args:
        table: one row per image: image_id, label, dice (empty without a lesion), false_outline (empty with one), group
            (images of one patient, or near copies, drawn together).
        resamples: bootstrap resamples of groups within their class; images without a lesion are a class of their own.

    Returns:
        {"all": {n, dice, dice_median, n_without, false_outlines, ci95, false_outlines_ci95_exact},
        class with lesions: {n, dice, dice_median, ci95}}. n counts the images with a lesion, n_without those without.
        None where there are none. The exact interval is added because a bootstrap shrinks to a point if no image, or
        every one, has a false outline.
    """
    lesion, labels = table["dice"].notna().to_numpy(), table["label"].to_numpy()
    weights = stratified_weights(np.where(lesion, labels, ""), resamples, rng, table["group"].to_numpy())
    false = table["false_outline"][~lesion]
    scores = {
        "all": {
            "n": int(lesion.sum()),
            "n_without": len(false),
            **_scores(table, weights, tuple(METRICS)),
            "false_outlines_ci95_exact": exact_ci95(int(false.sum()), len(false)) if len(false) else None,
        }
    }
    for label in sorted(set(labels[lesion])):
        rows = lesion & (labels == label)
        scores[label] = {"n": int(rows.sum()), **_scores(table[rows], weights[:, rows], OF_LESIONS)}
    return scores


def _scores(table: pd.DataFrame, weights: np.ndarray, names: Sequence[str]) -> dict:
    """The named metrics, with ci95."""
    scores: dict = dict.fromkeys(names)
    ends: dict = dict.fromkeys(names)
    for name in names:
        values = table[COLUMNS[name]].to_numpy(dtype=float)
        rows = ~np.isnan(values)
        if rows.any():
            function = METRICS[name].function
            scores[name] = float(function(values[rows], np.ones((1, rows.sum())))[0])
            ends[name] = interval(function(values[rows], weights[:, rows]))
    return {**scores, "ci95": ends}
