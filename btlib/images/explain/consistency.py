"""Consistency of heat maps across networks that differ only in their seed (paper, section 5.9)."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd


def agreement_table(
    image_ids: Sequence[str], labels: Sequence[str], maps: dict[str, np.ndarray], rng: np.random.Generator
) -> pd.DataFrame:
    """One row per image and kind of map, with the correlation of the image's maps between seeds.

    Maps that always highlight the centre of the head agree as well, whatever the image. `shuffled` measures this
    baseline: the correlation of an image's map under one seed with the map of *another* image of its class under the
    other seed.

    Args:
        image_ids, labels: of N images.
        maps: kind of map -> [S, N, H, W], one per seed, S ≥ 2.
        rng: draws the other image.

    Returns:
        image_id, label, map, agreement, shuffled: Pearson's r over pixels, averaged over pairs of seeds. Pairs with a
        flat (all-zero) map have no correlation and are left out; if none is left the cell is empty.
    """
    other = _draw_other_of_class(np.asarray(labels), rng)
    tables = []
    for name, maps_SNHW in maps.items():
        z = _standardised(maps_SNHW.reshape(*maps_SNHW.shape[:2], -1))
        pairs = list(combinations(range(len(z)), 2))
        own = np.stack([(z[a] * z[b]).mean(axis=1) for a, b in pairs])
        shuffled = np.stack([(z[a] * z[b][other]).mean(axis=1) for a, b in pairs])
        columns = {"agreement": _mean(own), "shuffled": _mean(shuffled)}
        tables.append(pd.DataFrame({"image_id": list(image_ids), "label": list(labels), "map": name, **columns}))
    return pd.concat(tables, ignore_index=True)


def _standardised(maps: np.ndarray) -> np.ndarray:
    """Each map [.., P] with mean 0 and variance 1 over its pixels; NaN if it is flat."""
    centered = maps.astype(np.float64) - maps.mean(axis=-1, keepdims=True, dtype=np.float64)
    deviation = centered.std(axis=-1, keepdims=True)
    return np.divide(centered, deviation, out=np.full_like(centered, np.nan), where=deviation > 0)


def _mean(pairs: np.ndarray) -> np.ndarray:
    """Mean over pairs, [pairs, N] to [N], ignoring NaN."""
    known = ~np.isnan(pairs)
    total, count = np.where(known, pairs, 0).sum(axis=0), known.sum(axis=0)
    return np.divide(total, count, out=np.full(pairs.shape[1], np.nan), where=count > 0)


def _draw_other_of_class(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """For each image, another one with the same label: its successor in a random order of the class."""
    other = np.arange(len(labels))
    for label in np.unique(labels):
        order = rng.permutation(np.flatnonzero(labels == label))
        other[order] = np.roll(order, 1)
    return other
