"""Assigns whole groups of samples, such as patients, to splits."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from btlib.core.runtime.reproducibility import keyed_rng

SPLITS = ("train", "val", "test")


def by_group(manifest: pd.DataFrame, seed: int, held_out: float) -> np.ndarray:
    """Assigns groups, largest first, each to the split that it brings closest to its target share of every class.

    Args:
        manifest: `label, group`.
        seed: same seed, same split.
        held_out: share of validation and test together; each gets half of it.

    Returns:
        text [N]. A class with fewer than three groups is missing from a split, which `split` refuses.
    """
    return assign_groups(manifest, seed, {"train": 1 - held_out, "val": held_out / 2, "test": held_out / 2})


def by_fold(manifest: pd.DataFrame, seed: int, folds: int, fold: int, val: float) -> np.ndarray:
    """Cross-validation: `fold` of `folds` equal parts is the test set, and `val` is a share of all samples."""
    in_fold = assign_groups(manifest, seed, dict.fromkeys(range(folds), 1 / folds)) == fold
    share = val / (1 - 1 / folds)
    assigned = np.full(len(manifest), "test", dtype=object)
    assigned[~in_fold] = assign_groups(manifest[~in_fold], seed, {"train": 1 - share, "val": share})
    return assigned


def assign_groups(manifest: pd.DataFrame, seed: int, parts: Mapping[str, float]) -> np.ndarray:
    """As `by_group`, with split name -> share of the samples."""
    table = pd.crosstab(manifest["group"], manifest["label"])
    table = table.iloc[keyed_rng(seed, "split by group").permutation(len(table))]
    table = table.iloc[np.argsort(-table.sum(axis=1).to_numpy(), kind="stable")]
    counts = table.to_numpy()
    target = np.array([list(parts.values())]).T * counts.sum(axis=0)  # [splits, K]
    filled = np.zeros_like(target)
    waiting = (counts > 0).sum(axis=0)  # groups of each class not assigned yet
    choice = np.empty(len(counts), dtype=int)
    for row, group in enumerate(counts):
        cost = ((filled + group - target) ** 2 - (filled - target) ** 2) / target
        lacking = filled == 0
        # If a class has no more groups left than splits that lack it, they must go to those splits.
        urgent = (group > 0) & (waiting <= lacking.sum(axis=0))
        ranked = cost.sum(axis=1) - 1e9 * (lacking & urgent).sum(axis=1)
        choice[row] = ranked.argmin()
        filled[choice[row]] += group
        waiting -= group > 0
    split_of_group = dict(zip(table.index, np.array(list(parts), dtype=object)[choice], strict=True))
    return manifest["group"].map(split_of_group).to_numpy(dtype=object)
