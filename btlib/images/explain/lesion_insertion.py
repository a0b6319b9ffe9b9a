"""Phantom lesions put into images without a tumour, and a control that tells what putting one in does by itself."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import cycle

import numpy as np

from btlib.core.runtime.reproducibility import keyed_rng
from btlib.images.data.lesion_paste import paste_lesion
from btlib.phantom.atlas import Atlas
from btlib.phantom.lesion_patches import LesionPatch, lesion_patch

TUMORS = ("glioma", "meningioma", "pituitary")
CONTROL = "control"


def sample_lesions(seed: int, classes: Sequence[str], count: int, atlas: Atlas) -> dict[str, list[LesionPatch]]:
    """`count` lesions, as T1 post-contrast shows them, of each tumour class, after the controls if there are gliomas.

    Args:
        classes: those of the classifier; others than TUMOURS are passed over.
    """
    # Numbered from −1 downwards: no data set has such subjects, so no net was trained on them.
    lesions = {
        label: [lesion_patch(seed, label, -1 - number, "t1ce", atlas) for number in range(count)]
        for label in TUMORS
        if label in classes
    }
    if "glioma" in lesions:
        lesions = {CONTROL: [control(patch) for patch in lesions["glioma"]]} | lesions
    return lesions


def control(patch: LesionPatch) -> LesionPatch:
    """The patch no brighter or darker than the brain: what pasting does by itself. Its label keeps site and draws."""
    return replace(patch, difference=np.zeros_like(patch.difference))


def insert_lesions(images: np.ndarray, lesions: Sequence[LesionPatch], seed: int, rows: Sequence[int]) -> np.ndarray:
    """Each image with one of the lesions, which take turns; uint8 [N, S, S, 3].

    Args:
        images: uint8 [N, S, S, 3], N at least 1.
        rows: [N] number of each image, which keys site and grain, so that they are the same in another sample.
    """
    pairs = zip(images, cycle(lesions), rows, strict=False)
    made = [paste_lesion(image, of, keyed_rng(seed, "paste", of.label, int(row)))[0] for image, of, row in pairs]
    return np.stack(made)
