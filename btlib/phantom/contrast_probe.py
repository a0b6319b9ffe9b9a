"""The same slices in every contrast, healthy and with tumours.

Where the tumour classes of a collection are nearly all T1 after gadolinium and its healthy images are not, a net may
learn the contrast instead of the lesion. Here the contrast varies and everything else stays, so that what a net says
of the four versions of one slice shows what it follows.
"""

import numpy as np

from btlib.core.runtime.reproducibility import keyed_rng
from btlib.phantom.atlas import Atlas, load_atlas
from btlib.phantom.contrasts import MODALITIES, sample_table
from btlib.phantom.slices import PLANES, acquire, plane_points, plane_tissues
from btlib.phantom.subject import Subject, sample_subject
from btlib.phantom.tumors import LABELS


def contrast_slices(
    seed: int, subjects_per_class: int, size: int, atlas: Atlas | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Slices of phantom subjects, each once in every contrast.

    Every slice goes through the middle of the subject's tumour, or of a place where one might be; the planes take
    turns. Subjects, geometry, noise and window are drawn once for a slice and serve all its contrasts.

    Args:
        seed: the subjects are not those of `write_dataset`, whatever its seed.
        subjects_per_class: of each of LABELS, no_tumor among them.
        size: S, pixels.
        atlas: the mean head, if it is loaded already.

    Returns:
        images uint8 [N, S, S, 3]; labels, text [N]; contrasts, text [N], each of MODALITIES in turn, so that the
        versions of one slice are neighbours. N = classes × subjects_per_class × contrasts.
    """
    atlas = atlas or load_atlas()
    images, labels = [], []
    for label in LABELS:
        for number in range(subjects_per_class):
            # Numbered from −1 downwards: no data set has such subjects, so no net was trained on them.
            subject = sample_subject(seed, label, -1 - number, atlas)
            images += _versions(subject, (seed, "contrast probe", label, number), PLANES[number % len(PLANES)], size)
            labels += [label] * len(MODALITIES)
    contrasts = list(MODALITIES) * (len(labels) // len(MODALITIES))
    return np.repeat(np.stack(images)[..., None], 3, axis=-1), np.array(labels), np.array(contrasts)


def _versions(subject: Subject, key: tuple, plane: str, size: int) -> list[np.ndarray]:
    """One slice [S, S] uint8 in each of MODALITIES; the generators start anew for each, so that only it differs."""
    points, pixel = plane_points(keyed_rng(*key, "geometry"), plane, subject.focus, size, tight=False)
    fractions = plane_tissues(subject, points, size).fractions
    shown = []
    for modality in MODALITIES:
        ideal = (fractions @ sample_table(keyed_rng(*key, "table"), modality)).reshape(size, size)
        shown.append(acquire(keyed_rng(*key, "acquisition"), ideal, fractions, pixel, tight=False))
    return shown
