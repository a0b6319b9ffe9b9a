"""Whether one T1-weighted volume shows a contrast agent that the other one lacks, by the images alone.

With contrast, vessels, dura and most lesions are much brighter than tissue of the same native intensity, while hardly
anything gets darker. So each voxel of one volume is compared with what is usual among the voxels that are as bright in
the other one, and what counts is how much further the brightest exceed it than the darkest fall short of it. Neither
another scale of intensities, nor another curve from dark to bright, nor noise looks like that.
"""

from enum import Enum

import numpy as np
from scipy.ndimage import gaussian_filter

BLUR = 1.0  # voxels, so that noise counts less
FEWEST = 1000  # voxels of a brain that say something
LEVELS = 40  # of intensity, each of as many voxels
TAIL = 0.5  # percent of the brain's voxels
MARGIN = 0.35  # T1 and T1ce of 9 patients and 80 phantoms: 0.42 to 2.1; two native or two given scans: up to 0.3
ALIKE = 0.99  # correlation in the brain; of T1 and T1ce of one head it was at most 0.88


class Enhancement(Enum):
    """What the images say of the volume called T1ce."""

    FOR = "brighter in vessels and lesion than the one called T1"
    AGAINST = "less bright there"
    UNDECIDED = "no clear difference"
    SAME = "the same image"


SAME, UNDECIDED = Enhancement.SAME, Enhancement.UNDECIDED


def enhancement(t1: np.ndarray, t1ce: np.ndarray) -> Enhancement:
    """What two volumes on one grid, [X, Y, Z], say of the contrast agent."""
    inside = (t1 > 0) & (t1ce > 0)
    if np.count_nonzero(inside) < FEWEST or not np.ptp(t1[inside]) or not np.ptp(t1ce[inside]):
        return UNDECIDED  # too little to look at
    if np.corrcoef(t1[inside], t1ce[inside])[0, 1] > ALIKE:
        return SAME
    native, given = (gaussian_filter(np.asarray(one, np.float32), BLUR)[inside] for one in (t1, t1ce))
    score = excess(native, given) - excess(given, native)
    return UNDECIDED if abs(score) < MARGIN else Enhancement.FOR if score > 0 else Enhancement.AGAINST


def excess(reference: np.ndarray, values: np.ndarray) -> float:
    """How much further up than down `values` go from what is usual where `reference` is as bright.

    Args:
        reference, values: of the same voxels [N].

    Returns:
        In units of the range in which 90 % of `values` lie.
    """
    low, high = np.percentile(values, [5, 95])
    order = np.argsort(reference, kind="stable")
    steps = [values[part] - np.median(values[part]) for part in np.array_split(order, LEVELS)]
    down, up = np.percentile(np.concatenate(steps), [TAIL, 100 - TAIL])
    return float((up + down) / max(high - low, np.finfo(np.float32).tiny))
