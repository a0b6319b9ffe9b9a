"""Phantom slices to train on: varied anatomy, lesions, contrasts, framings and scanners, with every lesion known.

Each subject is cut through its lesion, beside it and far from it, or where its lesion would be if it had one, and each
cut is seen in all four contrasts. Scanner, framing and the rest of the head are then the same with and without the
lesion, so only the lesion tells them apart, and not the place either. A
share of the images has grey levels of tissues that were drawn widely, as in Billot et al. 2023 ("SynthSeg: Segmentation
of brain MRI scans of any contrast and resolution without retraining"). Face, neck and skull base, which the mean head
knows roughly, are random shapes in a share of the cuts, as in Hoopes et al. 2022 ("SynthStrip: Skull-stripping for any
brain image"): whatever is there is no lesion.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from btlib.core.runtime.reproducibility import keyed_rng, keyed_seed
from btlib.phantom.acquisition import coil
from btlib.phantom.atlas import Atlas
from btlib.phantom.contrasts import MODALITIES, sample_table
from btlib.phantom.gliomas import GRADES
from btlib.phantom.slices import PLANES, SMALLEST_LESION, VARIED, acquire, plane_points, plane_tissues
from btlib.phantom.subject import Subject, sample_subject
from btlib.phantom.tissues import INDEX, LESION, OUTSIDE_BRAIN, TISSUES, Mixture
from btlib.phantom.tumors import LABELS, LESION_LABELS, lesion_labels, multifocal, white_matter_sites

CUTS = 4  # per subject
PLANE_SHARES = (0.5, 0.25, 0.25)  # of PLANES
RANDOM_GRAYS = 0.3  # share of the images
SPREAD = 0.25  # standard deviation of the log grey levels of those
BRIGHT_FAT = (0.7, 2.2)  # factor of the grey levels of FATTY: a surface coil and the sequence decide that
FAINT = 0.5  # share of the images in which the lesion is closer to healthy brain than usual
FAINTEST = 0.3  # of the usual difference
STRIPPED = 0.25  # share of the cuts without skull
RANDOM_SURROUNDINGS = 0.4  # share of the others with random shapes outside the brain
SHAPES = 6  # grey levels of those
COARSEST, FINEST = 6, 36  # shapes per side of the image
BRIGHTEST = 210.0  # grey level of a shape, in the units of the contrast tables
HEALED = 0.5  # share of the subjects with a tumour whose last cut shows its place in the same head without it
MULTIFOCAL = 0.15  # share of the gliomas with further lesions
TIGHT = 0.35  # share of the cuts with a narrow field of view
SMALLEST_HEAD = 0.1  # share of the image
SMALLEST_BRAIN = 0.03  # without skull
FATTY = [INDEX[name] for name in ("fat", "marrow", "skin")]
HEALTHY = [INDEX[name] for name in ("gm", "wm")]
AROUND = [index for index in OUTSIDE_BRAIN if index != INDEX["air"]]
# Contrasts that show oedema as bright as the tumour; on the others an outline follows the tumour alone.
SHOW_EDEMA = ("t2", "flair")
# Span of the heads along each plane's normal, mm of the subject, where cuts far from the lesion lie.
ENDS = 0.15  # share of the span at each end, where half of those cuts lie: vertex, neck and face are like nothing else
SPAN = {"axial": (2, -95.0, 75.0), "coronal": (1, -95.0, 65.0), "sagittal": (0, -62.0, 62.0)}


@dataclass(frozen=True)
class TrainingSlice:
    """One image [S, S] uint8 with the outline [S, S] bool of what it shows of the lesion, and the class it shows.

    `label` is no_tumor for a cut that misses the tumour.
    """

    image: np.ndarray
    lesion: np.ndarray
    label: str
    modality: str


def training_subject(seed: int, number: int, atlas: Atlas) -> Subject:
    """Subject `number`, the classes in turn; none is in the demo's sets, whatever their seed."""
    label = LABELS[number % len(LABELS)]
    rng = keyed_rng(seed, "training subject", number)
    kind = str(rng.choice([label, *GRADES])) if label == "glioma" else label
    subject = sample_subject(keyed_seed(seed, "training slices"), kind, number, atlas)
    subject = replace(subject, label=label)
    if label == "glioma" and rng.random() < MULTIFOCAL:
        tumor = subject.tumor
        centers, radii = multifocal(rng, tumor.centers, tumor.radii, white_matter_sites(atlas))
        subject = replace(subject, tumor=replace(tumor, centers=centers, radii=radii))
    return subject


def training_slices(number: int, seed: int, size: int, atlas: Atlas) -> list[TrainingSlice]:
    """At most CUTS cuts of a subject in all contrasts; views that show next to nothing of a lesion are left out.

    Args:
        size: pixels per side.
    """
    subject = training_subject(seed, number, atlas)
    rng = keyed_rng(seed, "training slice", number)
    return [view for cut in range(CUTS) for view in _views(rng, subject, cut, size)]


def _views(rng: np.random.Generator, subject: Subject, cut: int, size: int) -> list[TrainingSlice]:
    plane = str(rng.choice(PLANES, p=PLANE_SHARES))
    tight = rng.random() < TIGHT
    shown, place = _cut(rng, subject, plane, cut)
    points, pixel = plane_points(rng, plane, place, size, tight, VARIED)
    mixture = plane_tissues(shown, points, size)
    if (mixture.fractions[:, INDEX["air"]] < 0.5).mean() < SMALLEST_HEAD:
        return []
    shading = coil(points[:, 2], rng.uniform(0.0, 1.0))
    shapes = None
    if rng.random() < STRIPPED:
        mixture = _stripped(mixture)
        if (mixture.fractions[:, INDEX["air"]] < 0.5).mean() < SMALLEST_BRAIN:
            return []
        shading = shading * (mixture.fractions[:, INDEX["air"]] < 0.5)
    elif rng.random() < RANDOM_SURROUNDINGS:
        shapes = _random_shapes(rng, size)
    views = []
    for modality in MODALITIES:
        table = _table(rng, modality)
        signal = mixture.fractions @ table
        if shapes is not None:
            around = mixture.fractions[:, AROUND].sum(axis=1)
            signal = np.where(around < 0.5, signal, around * rng.uniform(0, BRIGHTEST, SHAPES)[shapes])
        ideal = (signal * shading).reshape(size, size)
        image = acquire(rng, ideal, mixture.fractions, pixel, tight, VARIED)
        lesion, clear = _lesion(mixture, modality)
        if clear or lesion.mean() >= SMALLEST_LESION:
            label = "no_tumor" if clear else subject.label
            views.append(TrainingSlice(image, lesion.reshape(size, size), label, modality))
    return views


def _cut(rng: np.random.Generator, subject: Subject, plane: str, cut: int) -> tuple[Subject, np.ndarray]:
    """The subject, perhaps healed, and a point [3] that the cut passes through: in the lesion, except for the last."""
    if subject.tumor is None:
        return subject, _anywhere(rng, subject, plane)
    inside = subject.focus + rng.uniform(-0.6, 0.6, 3) * subject.tumor.radius
    if cut < CUTS - 1:
        return subject, inside
    if rng.random() < HEALED:
        return replace(subject, tumor=None), inside
    if rng.random() < 0.5:
        return subject, _anywhere(rng, subject, plane)
    beside = subject.focus.copy()
    beside[SPAN[plane][0]] += rng.choice([-1, 1]) * (subject.tumor.reach + rng.uniform(0, 10))
    return subject, beside


def _anywhere(rng: np.random.Generator, subject: Subject, plane: str) -> np.ndarray:
    """A point [3] of the head, in half of the draws near its ends."""
    axis, low, high = SPAN[plane]
    end = ENDS * (high - low)
    spans = [(low, high), (low, high), (low, low + end), (high - end, high)]
    place = subject.focus.copy()
    place[axis] = rng.uniform(*spans[rng.integers(len(spans))])
    return place


def _table(rng: np.random.Generator, modality: str) -> np.ndarray:
    """Intensity of each tissue [T]."""
    table = sample_table(rng, modality)
    if rng.random() < RANDOM_GRAYS:
        table = table * np.exp(rng.normal(0, SPREAD, len(TISSUES))).astype(np.float32)
    table[FATTY] *= rng.uniform(*BRIGHT_FAT)
    if rng.random() < FAINT:
        healthy = table[HEALTHY].mean()
        table[LESION] = healthy + rng.uniform(FAINTEST, 1) * (table[LESION] - healthy)
    return table


def _lesion(mixture: Mixture, modality: str) -> tuple[np.ndarray, bool]:
    """The outline [S × S] in this contrast, and whether there is no lesion at all."""
    labels = lesion_labels(mixture)
    tumor = (labels == LESION_LABELS["necrotic_core"]) | (labels == LESION_LABELS["enhancing"])
    whole = labels > 0
    return (whole if modality in SHOW_EDEMA else tumor), not whole.any()


def _stripped(mixture: Mixture) -> Mixture:
    """The brain alone: points that are mostly outside it are air."""
    inside = mixture.fractions[:, OUTSIDE_BRAIN].sum(axis=1) < 0.5
    bare = Mixture(len(inside))
    bare.fractions[inside] = mixture.fractions[inside]
    return bare


def _random_shapes(rng: np.random.Generator, size: int) -> np.ndarray:
    """Number of the shape that each point [S × S] belongs to: which of several smooth random fields is the largest."""
    nodes = int(rng.integers(COARSEST, FINEST))
    fields = [
        cv2.resize(field, (size, size), interpolation=cv2.INTER_CUBIC)
        for field in rng.standard_normal((SHAPES, nodes, nodes))
    ]
    return np.argmax(fields, axis=0).ravel()
