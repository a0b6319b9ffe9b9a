"""Faithfulness: how much of an explanation is inside the lesion, and how well an outline agrees with it."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd


def pointing_hit(heat: np.ndarray, lesion: np.ndarray) -> float:
    """The pointing game (Zhang et al. 2018) without tolerance: is the hottest pixel in the lesion?

    Args:
        heat: [H, W] ≥ 0.
        lesion: [H, W] bool.

    Returns:
        0 or 1; for several equally hot pixels, the share of them in the lesion, so that a uniform map scores the
        lesion's share of the area. 0 for a map of zeros.
    """
    return float(lesion[heat == heat.max()].mean()) if heat.max() > 0 else 0.0


def heat_share(heat: np.ndarray, lesion: np.ndarray) -> float:
    """The share of the heat inside the lesion, 0 … 1; 0 for a map of zeros."""
    total = heat.sum(dtype=np.float64)
    return float(heat[lesion].sum(dtype=np.float64) / total) if total > 0 else 0.0


def dice(lesion: np.ndarray, outline: np.ndarray) -> float:
    """2 |A ∩ B| / (|A| + |B|) of two bool masks [H, W], in 0 … 1 (Dice 1945); the lesion is not empty."""
    return 2 * np.count_nonzero(lesion & outline) / (np.count_nonzero(lesion) + np.count_nonzero(outline))


def faithfulness_table(
    image_ids: Sequence[str], labels: Sequence[str], maps: Mapping[str, np.ndarray], lesions: np.ndarray
) -> pd.DataFrame:
    """One row per image and kind of map: image_id, label, map, pointing_hit, heat_share, lesion_share.

    Args:
        image_ids, labels: N each.
        maps: kind of map -> [N, H, W] ≥ 0.
        lesions: [N, H, W] bool, none of them empty. lesion_share is the lesion's share of the area, the value of both
            measures for a uniform map.
    """
    columns = ["image_id", "label", "map", "pointing_hit", "heat_share", "lesion_share"]
    rows = [
        (image_id, label, name, pointing_hit(heat, lesion), heat_share(heat, lesion), float(lesion.mean()))
        for name, heats in maps.items()
        for image_id, label, heat, lesion in zip(image_ids, labels, heats, lesions, strict=True)
    ]
    return pd.DataFrame(rows, columns=columns)


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
