"""Lesions cut out of phantom subjects, to be pasted into other images (`btlib.images.data.lesion_paste`)."""

from dataclasses import dataclass, replace

import numpy as np

from btlib.core.runtime.reproducibility import keyed_rng
from btlib.phantom.atlas import Atlas
from btlib.phantom.contrasts import sample_table
from btlib.phantom.subject import Subject, sample_subject
from btlib.phantom.tissues import INDEX
from btlib.phantom.tumors import LESION_LABELS, lesion_labels

SIDE = 96  # pixels of a patch
HEAD_WIDTH = 170.0  # mm: the diameter of a circle with the area of an axial slice through the phantom's mean head
LESION = [INDEX[name] for name in ("edema", "necrosis", "tumor", "enhancing")]
BRAIN = [INDEX[name] for name in ("gm", "wm", "csf")]


@dataclass(frozen=True)
class LesionPatch:
    """A lesion without the head around it, in a plane through its middle.

    The centre of the patch is the place to be put on its site: the dura that a meningioma grows from, else the middle
    of the tumour. Up is out of the head for a meningioma, superior for a pituitary tumour, any direction for a glioma.

    Attributes:
        difference: [P, P] float32, grey of the lesion less the median grey of the healthy brain in the plane, in units
            of that brain's contrast (95th less 5th percentile of its greys); 0 where there is no lesion.
        opacity: [P, P] float32 in 0..1, how much of the place is lesion, oedema included.
        mask: [P, P] bool, the tumour without its oedema.
        share: side of the patch over the width of the head.
        label: class.
    """

    difference: np.ndarray
    opacity: np.ndarray
    mask: np.ndarray
    share: float
    label: str


def lesion_patch(seed: int, label: str, number: int, modality: str, atlas: Atlas) -> LesionPatch:
    """Cuts out the tumour of phantom subject `number` of a class, as `modality` shows it.

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


def _axes(rng: np.random.Generator, subject: Subject) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Middle of the patch in mm of the subject, and unit vectors up and to the right, [3] each."""
    middle, up, across = subject.focus, *rng.standard_normal((2, 3))
    if subject.label == "meningioma":
        middle = subject.warp.from_atlas(subject.tumor.anchor[None])[0]
        up = middle - subject.focus
    if subject.label == "pituitary":
        up, across = np.array([0.0, 0, 1]), np.eye(3)[rng.integers(2)]  # coronal or sagittal
    across = np.cross(np.cross(up, across), up)  # what of it is perpendicular to up
    return middle, up / np.linalg.norm(up), across / np.linalg.norm(across)


def _square(middle: np.ndarray, up: np.ndarray, across: np.ndarray, side: float, pixels: int) -> np.ndarray:
    """Points [pixels², 3] in mm of a square of `side` mm, row by row from its upper left corner."""
    steps = ((np.arange(pixels) + 0.5) / pixels - 0.5) * side
    grid = middle - steps[:, None, None] * up + steps[None, :, None] * across
    return grid.reshape(-1, 3).astype(np.float32)


def _brain_grays(subject: Subject, points: np.ndarray, table: np.ndarray) -> tuple[float, float]:
    """Median grey and contrast (see LesionPatch) of the brain at the points as it would be without the tumour."""
    healthy = replace(subject, tumor=None).tissues(points).fractions
    brain = (healthy @ table)[healthy[:, BRAIN].sum(axis=1) > 0.9]
    low, level, high = np.percentile(brain, (5, 50, 95))
    return level, high - low
