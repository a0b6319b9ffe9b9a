"""Chooses the post-processing of masks on the validation cases, on the grid of the input files: by their mean Dice,
and for whole lesions by the Hausdorff distance too."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from nibabel.affines import voxel_sizes
from scipy.stats import sem, t
from tqdm import tqdm

from btlib.core.metrics.outlines import dice
from btlib.volumes.data.conventions import REGIONS
from btlib.volumes.data.geometry import bounding_box
from btlib.volumes.data.store import Case
from btlib.volumes.evaluation.masks import PLAIN, Postprocessing, masks_of
from btlib.volumes.evaluation.segmentation import hd95
from btlib.volumes.evaluation.tables import VALIDATION_DICE

LESIONS = "smallest_lesion"
# In order of preference, since of equally good values the first is taken: nearest to one half, and the smallest volume.
THRESHOLDS = (0.5, 0.4, 0.6, 0.3, 0.7, 0.2, 0.8)
VOLUMES_ML = (0.0, 0.05, 0.1, 0.2, 0.5, 1.0)
SHARES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)  # at 1 only the largest lesion stays
# Removal comes first: one false voxel turns the Dice of an absent region from 1 to 0, and a threshold high enough to
# avoid that would cost overlap in every other case. From the inside out, since an outer region keeps what an inner one
# keeps. Only enhancing tumour may be absent: many low-grade gliomas have none. Whole lesions go only where their parts
# are too large for that: a false one of several ml, since a second focus may be as small.
CHOICES = (
    ("et", "smallest_region_ml", VOLUMES_ML),
    *((region, "smallest_component_ml", VOLUMES_ML) for region in reversed(REGIONS)),
    (None, LESIONS, SHARES),
    *((region, "threshold", THRESHOLDS) for region in reversed(REGIONS)),
)
CERTAIN = 0.95  # confidence that a gain is one
NOISE = 0.002  # of mean Dice: values that differ by less count as equally good


class OnInputGrid(NamedTuple):
    """A case on the grid of its input files.

    probabilities: float32 [3, X, Y, Z] of wt, tc and et; truth: bool [3, X, Y, Z], or None if unknown.
    """

    case: Case
    probabilities: np.ndarray
    truth: np.ndarray | None


class Chosen(NamedTuple):
    """The rules, and the table VALIDATION_DICE of the cases that they were chosen on."""

    rules: Postprocessing
    validation: pd.DataFrame


def choose_postprocessing(cases: Iterable[OnInputGrid], stated: Postprocessing | None = None) -> Chosen:
    """The stated rules, or those with the highest mean Dice over the cases and regions, one value after the other.

    Each of CHOICES is decided once, with all others as they are by then. It begins with its first value, no
    post-processing, and leaves that only for a gain above NOISE whose CERTAIN interval (Student's t over the cases)
    excludes 0, so the mean Dice never falls, and one or two cases in which a region comes or goes decide nothing. A
    false lesion far away may be too small to matter for Dice: of equally good values for whole lesions, none of which
    lowers it, the one with the smallest mean HD95 of the whole tumour is taken.

    Args:
        cases: of the validation set, read one by one; only the surroundings of the tumour are kept. Those without truth
            do not count.
        stated: if given, nothing is chosen, and the cases only show what these rules gain.

    Returns:
        PLAIN with fewer than two cases that count, and an empty table without any.
    """
    known = [_around_the_tumor(each) for each in cases if each.truth is not None]
    rules = stated or PLAIN
    choices = CHOICES if len(known) > 1 and stated is None else ()
    for region, name, values in tqdm(choices, desc="post-processing", unit="value", mininterval=1):
        candidates = [_changed(rules, region, name, value) for value in values]
        of_cases = np.array([_dice(known, each).mean(axis=1) for each in candidates])
        scores = np.where(_gains(of_cases), of_cases.mean(axis=1), -np.inf)
        good = np.flatnonzero(scores >= scores.max() - NOISE)
        if name == LESIONS:
            good = good[scores[good] >= scores[0]]
            good = good[[int(np.argmin([_mean_hd95(known, candidates[number]) for number in good]))]]
        rules = candidates[int(good[0])]
    return Chosen(rules, pd.DataFrame(_rows(known, rules), columns=VALIDATION_DICE))


def _gains(dice: np.ndarray) -> np.ndarray:
    """[V] bool, whether each value may replace the first: its gain is certain, or too small to matter.

    Args:
        dice: [V, N] of each value and case, N at least 2.
    """
    gain = dice - dice[0]
    mean, error = gain.mean(axis=1), sem(gain, axis=1)
    return (mean > t.ppf((1 + CERTAIN) / 2, gain.shape[1] - 1) * error) | (mean <= NOISE)


def _around_the_tumor(each: OnInputGrid) -> OnInputGrid:
    """Cropped to the voxels that are tumour, or can be at the lowest threshold, since all cases are held in memory."""
    near = each.truth.any(axis=0) | (each.probabilities > min(THRESHOLDS)).any(axis=0)
    box = bounding_box(near) if near.any() else (slice(1),) * 3
    return each._replace(probabilities=each.probabilities[:, *box].copy(), truth=each.truth[:, *box].copy())


def _changed(rules: Postprocessing, region: str | None, name: str, value: float) -> Postprocessing:
    if region is None:
        return rules.model_copy(update={name: value})
    return rules.model_copy(update={region: getattr(rules, region).model_copy(update={name: value})})


def _dice(cases: Sequence[OnInputGrid], rules: Postprocessing) -> np.ndarray:
    """[N, 3] Dice of each case and region."""
    masks = (masks_of(each.probabilities, each.case.native_affine, rules) for each in cases)
    return np.array([list(map(dice, each.truth, found)) for each, found in zip(cases, masks, strict=True)])


def _mean_hd95(cases: Sequence[OnInputGrid], rules: Postprocessing) -> float:
    """Of the whole tumour, in mm; a case in which only one of both masks is empty counts with its box's diagonal."""
    return float(np.mean([_tumor_hd95(each, rules) for each in cases]))


def _tumor_hd95(each: OnInputGrid, rules: Postprocessing) -> float:
    found = masks_of(each.probabilities, each.case.native_affine, rules)
    return hd95(each.truth[0], found[0], voxel_sizes(each.case.native_affine))


def _rows(cases: Sequence[OnInputGrid], rules: Postprocessing) -> Iterator[tuple[str, str, float, float]]:
    if not cases:
        return
    for each, *scores in zip(cases, _dice(cases, rules), _dice(cases, PLAIN), strict=True):
        for region, after, before in zip(REGIONS, *scores, strict=True):
            yield each.case.name, region, after, before
