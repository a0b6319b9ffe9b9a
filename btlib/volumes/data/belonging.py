"""Whether the volumes of a case belong together: four different scans, and a lesion inside their brain."""

from collections.abc import Mapping
from itertools import combinations

import numpy as np

from btlib.core.runtime.errors import InputError
from btlib.volumes.data.conventions import MODALITIES
from btlib.volumes.data.volume import Volume

ALIKE = 0.9999  # correlation in the brain; noise alone keeps two acquisitions below it, rounding keeps a copy above
SOME_OUTSIDE = 0.01  # of a lesion; less is the inaccuracy of skull stripping
MOST_OUTSIDE = 0.5


def copies(case: str, volumes: Mapping[str, Volume]) -> list[str]:
    """Faults: two modalities in different files that are the same scan, also if its intensities were rescaled."""
    names = [name for name in MODALITIES if name in volumes]
    return [
        f"case {case}: {one} and {other} are the same scan ({volumes[one].path}, {volumes[other].path}); replace the "
        "wrong one, or remove the case"
        for one, other in combinations(names, 2)
        if volumes[one].path != volumes[other].path and _is_copy(volumes[one].values, volumes[other].values)
    ]


def check_lesion(seg: np.ndarray, volumes: Mapping[str, Volume]) -> list[str]:
    """A warning if part of the lesion is where all modalities are 0, or nothing.

    Args:
        seg: canonical labels [X, Y, Z].
        volumes: the modalities and `seg`, all on its grid.

    Raises:
        InputError: most of the lesion is there.
    """
    outside = np.all([volumes[name].values[seg > 0] == 0 for name in MODALITIES], axis=0)
    share = outside.mean() if outside.size else 0.0
    found = f"{volumes['seg'].path}: {share:.0%} of the lesion is outside the brain, where all four scans are 0"
    if share > MOST_OUTSIDE:
        raise InputError(
            f"{found}; the segmentation is of another case, or mirrored or shifted by its header: replace it, or "
            "remove it"
        )
    return [f"{found}; overlay it on the scans, and correct it or the skull stripping"] if share > SOME_OUTSIDE else []


def _is_copy(one: np.ndarray, other: np.ndarray) -> bool:
    if one.shape != other.shape or not one.any():  # blank volumes are a fault of their own
        return False
    if np.array_equal(one, other):
        return True
    brain = (one != 0) | (other != 0)
    with np.errstate(invalid="ignore"):  # NaN and infinity are a fault of their own
        first, second = (values[brain] - values[brain].mean(dtype=np.float64) for values in (one, other))
        spread = np.sqrt((first @ first) * (second @ second))
        return bool(spread > 0 and first @ second > ALIKE * spread)
