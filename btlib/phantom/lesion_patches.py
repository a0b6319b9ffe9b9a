"""Lesions cut out of phantom subjects, for pasting into other images (`btlib.images.data.lesion_paste`)."""

from dataclasses import dataclass, replace

import numpy as np

from btlib.core.runtime.reproducibility import keyed_rng
from btlib.phantom.atlas import Atlas
from btlib.phantom.contrasts import sample_table
from btlib.phantom.subject import Subject, sample_subject
from btlib.phantom.tissues import INDEX, LESION
from btlib.phantom.tumors import LESION_LABELS, lesion_labels

SIDE = 96  # pixels of a patch
HEAD_WIDTH = 170.0  # mm: the diameter of a circle with the area of an axial slice through the phantom's mean head
BRAIN = [INDEX[name] for name in ("gm", "wm", "csf")]


@dataclass(frozen=True)
class LesionPatch:
    """A lesion without the surrounding head, in a plane through its centre.

    The centre of the patch is its anchor: the dura that a meningioma grows from, otherwise the tumour's centre. Up is
    out of the head for a meningioma, superior for a pituitary tumour, and arbitrary for a glioma.

    Attributes:
        difference: [P, P] float32, grey of the lesion minus the median grey of healthy brain in the plane, in units of
            the brain's contrast (95th minus 5th percentile of its greys); 0 where there is no lesion.
        opacity: [P, P] float32 in 0..1, fraction of lesion including oedema.
        mask: [P, P] bool, the tumour without its oedema.
        share: side of the patch / width of the head.
        label: class.
    """

    difference: np.ndarray
    opacity: np.ndarray
    mask: np.ndarray
    share: float
    label: str


def lesion_patch(seed: int, label: str, number: int, modality: str, atlas: Atlas) -> LesionPatch:
    """Cuts out the tumour of phantom subject `number` of a class, in one modality.

    Args:
        label: glioma, meningioma or pituitary.
        modality: one of `contrasts.MODALITIES`.
    """
    subject = sample_subject(seed, label, number, atlas)
    rng = keyed_rng(seed, "lesion patch", label, number)
    middle, up, across = _axes(rng, subject)
    side = 2 * (subject.tumor.reach + float(np.linalg.norm(subject.focus - middle)))
    mixture = subject.tissues(_square(middle, up, across, side, SIDE))
    table = sample_table(rng, modality)
    level, contrast = _brain_grays(subject, _square(middle, up, across, 2 * HEAD_WIDTH, SIDE), table)
    opacity = mixture.fractions[:, LESION].sum(axis=1)
    shade = mixture.fractions[:, LESION] @ table[LESION] / np.maximum(opacity, 1e-6)
    labels = lesion_labels(mixture)
    return LesionPatch(
        difference=np.where(opacity > 0, (shade - level) / contrast, 0).reshape(SIDE, SIDE).astype(np.float32),
        opacity=opacity.reshape(SIDE, SIDE),
        mask=((labels == LESION_LABELS["necrotic_core"]) | (labels == LESION_LABELS["enhancing"])).reshape(SIDE, SIDE),
        share=side / HEAD_WIDTH,
        label=label,
    )


def control(patch: LesionPatch) -> LesionPatch:
    """The patch with the brain's brightness, to measure the effect of pasting. Its label keeps site and draws."""
    return replace(patch, difference=np.zeros_like(patch.difference))


def _axes(rng: np.random.Generator, subject: Subject) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centre of the patch in mm of the subject, and unit vectors up and to the right, [3] each."""
    middle, up, across = subject.focus, *rng.standard_normal((2, 3))
    if subject.label == "meningioma":
        middle = subject.warp.from_atlas(subject.tumor.anchor[None])[0]
        up = middle - subject.focus
    if subject.label == "pituitary":
        up, across = np.array([0.0, 0, 1]), np.eye(3)[rng.integers(2)]  # coronal or sagittal
    across = np.cross(np.cross(up, across), up)  # component perpendicular to up
    return middle, up / np.linalg.norm(up), across / np.linalg.norm(across)


def _square(middle: np.ndarray, up: np.ndarray, across: np.ndarray, side: float, pixels: int) -> np.ndarray:
    """Points [pixels², 3] in mm of a square with `side` mm, row by row from the upper left corner."""
    steps = ((np.arange(pixels) + 0.5) / pixels - 0.5) * side
    grid = middle - steps[:, None, None] * up + steps[None, :, None] * across
    return grid.reshape(-1, 3).astype(np.float32)


def _brain_grays(subject: Subject, points: np.ndarray, table: np.ndarray) -> tuple[float, float]:
    """Median grey and contrast (see LesionPatch) of the brain at the points, without the tumour."""
    healthy = replace(subject, tumor=None).tissues(points).fractions
    brain = (healthy @ table)[healthy[:, BRAIN].sum(axis=1) > 0.9]
    low, level, high = np.percentile(brain, (5, 50, 95))
    return level, high - low
