"""Phantom lesions inserted into images without a tumour, and a control for the effect of insertion itself."""

from collections.abc import Sequence
from itertools import cycle

import numpy as np

from btlib.core.runtime.reproducibility import keyed_rng
from btlib.images.data.lesion_paste import paste_lesion
from btlib.phantom.atlas import Atlas
from btlib.phantom.lesion_patches import LesionPatch, control, lesion_patch

TUMORS = ("glioma", "meningioma", "pituitary")
CONTROL = "control"


def sample_lesions(seed: int, classes: Sequence[str], count: int, atlas: Atlas) -> dict[str, list[LesionPatch]]:
    """`count` lesions of each tumour class in T1 post-contrast, preceded by controls if there are gliomas.

    Args:
        classes: of the classifier; those not in TUMORS are ignored.
    """
    # Negative subject numbers occur in no data set, so no network was trained on these lesions.
    lesions = {
        label: [lesion_patch(seed, label, -1 - number, "t1ce", atlas) for number in range(count)]
        for label in TUMORS
        if label in classes
    }
    if "glioma" in lesions:
        lesions = {CONTROL: [control(patch) for patch in lesions["glioma"]]} | lesions
    return lesions


def insert_lesions(images: np.ndarray, lesions: Sequence[LesionPatch], seed: int, rows: Sequence[int]) -> np.ndarray:
    """Each image with one of the lesions, used in turn; uint8 [N, S, S, 3].

    Args:
        images: uint8 [N, S, S, 3], N at least 1.
        rows: [N] number of each image, which keys site and grain, so that they do not depend on the sample.
    """
    pairs = zip(images, cycle(lesions), rows, strict=False)
    made = [paste_lesion(image, of, keyed_rng(seed, "paste", of.label, int(row)))[0] for image, of, row in pairs]
    return np.stack(made)
