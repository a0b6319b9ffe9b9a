"""Faithfulness: how much of an explanation is inside the lesion."""

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
