"""Phantom lesions pasted into the images of the data set, to train on.

Images with and without a tumour often come from different sources and in different contrasts, and a network then learns
those. With a lesion pasted in, the same image is one of a tumour, so only the lesion tells the two apart. An outlined
tumour gets a second lesion, of which the network cannot know from the source either. Some images get a patch of
brightness of the brain alone: an edge of pasting is no lesion.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from btlib.core.runtime.artifacts import read_array
from btlib.core.runtime.reproducibility import keyed_rng, keyed_seed
from btlib.core.runtime.workers import in_parallel
from btlib.images.data.lesion_maps import FULL, UNKNOWN, lesion_map
from btlib.images.data.lesion_paste import paste_lesion
from btlib.images.data.phantom_slices import Slice
from btlib.images.data.preprocessing import load_lesions, load_processed
from btlib.images.data.tumor_or_none import NONE
from btlib.phantom.atlas import Atlas
from btlib.phantom.contrasts import MODALITIES
from btlib.phantom.gliomas import GRADES
from btlib.phantom.lesion_patches import LesionPatch, control, lesion_patch
from btlib.phantom.training_slices import SHOW_EDEMA

LESIONS = 480  # different ones; in as many images as it takes
KINDS = (*GRADES, *GRADES, "meningioma", "pituitary")  # of these lesions, in turn: gliomas may be anywhere in the brain
CONTROLS = 0.3  # share of the pasted patches that are no lesion
SECOND = 0.4  # share of the outlined tumours that get a second lesion
FAINTEST = 0.5  # of a phantom lesion's difference from the brain, drawn up to 1
SMALLEST = 0.25  # of a cell of the lesion map: less than that is not seen


class Wanted(NamedTuple):
    """An image to make: its background, which version of that it is, the number of the lesion; `empty` is a control."""

    row: int
    image_id: str
    label: str
    version: int
    lesion: int
    empty: bool


def pasted_lesions(processed: Path, per_image: int, seed: int, atlas: Atlas) -> Iterator[Slice]:
    """`per_image` versions of each image without a tumour, and a share of the outlined tumours with a second lesion.

    What an image gets depends on its image_id and the seed alone. Images where no head is found are left out.

    Args:
        processed: folder of stage preprocess_images.
    """
    if not per_image:
        return
    by_lesion = attrgetter("lesion")
    tasks = [list(alike) for _, alike in groupby(sorted(_wanted(processed, per_image, seed), key=by_lesion), by_lesion)]
    draw = partial(_with_lesion, processed, seed, atlas)
    for made in in_parallel(draw, tasks, "pasted lesions", "lesion", batch=1):
        yield from made


def _wanted(processed: Path, per_image: int, seed: int) -> Iterator[Wanted]:
    images, index = load_processed(processed)
    lesions = load_lesions(processed, images)
    for row, (image_id, label) in enumerate(zip(index["image_id"], index["label"], strict=True)):
        rng = keyed_rng(seed, "pasted lesions", image_id)
        outlined = label != NONE and lesions[row].any() and lesions[row, 0, 0] != UNKNOWN
        second = outlined and rng.random() < SECOND
        for version in range(per_image if label == NONE else int(second)):
            empty = label == NONE and rng.random() < CONTROLS
            yield Wanted(row, image_id, label, version, int(rng.integers(LESIONS)), empty)


def _with_lesion(processed: Path, seed: int, atlas: Atlas, wanted: list[Wanted]) -> list[Slice]:
    """The images that get the same lesion."""
    images, lesions = read_array(processed / "images.npy"), read_array(processed / "lesions.npy")
    subject = wanted[0].lesion
    kind, modality = KINDS[subject % len(KINDS)], MODALITIES[subject // len(KINDS) % len(MODALITIES)]
    patch = _patch(keyed_seed(seed, "pasted lesions"), kind, subject, modality, atlas)
    made = []
    for w in wanted:
        rng = keyed_rng(seed, "pasted lesions", w.image_id, w.version, "site")
        shown = replace(patch, difference=patch.difference * rng.uniform(FAINTEST, 1))
        image, lesion, label = _pasted(images[w.row], lesions[w.row], w.label, shown, w.empty, rng)
        if label != NONE or (w.empty and (image != images[w.row]).any()):
            made.append(Slice(image[..., 0], lesion, label, modality, subject, w.image_id))
    return made


def _patch(seed: int, kind: str, number: int, modality: str, atlas: Atlas) -> LesionPatch:
    """The lesion, with the outline of what this contrast shows of it."""
    patch = lesion_patch(seed, kind, number, modality, atlas)
    mask = patch.opacity > 0.5 if modality in SHOW_EDEMA else patch.mask
    return replace(patch, mask=mask, label="glioma" if kind in GRADES else kind)


def _pasted(
    image: np.ndarray, known: np.ndarray, label: str, patch: LesionPatch, empty: bool, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, str]:
    """Image [S, S, 3], lesion map, and the class that the image now shows; those of the image itself were `known`."""
    second = label != NONE
    if second:
        patch = replace(patch, label="glioma")  # whose sites are anywhere in the brain
    image, mask = paste_lesion(image, control(patch) if empty else patch, rng)
    lesion = lesion_map(np.zeros_like(mask) if empty else mask, len(image))
    if second:
        return image, np.maximum(lesion, known), label
    return image, lesion, patch.label if lesion.max() >= SMALLEST * FULL else NONE
