"""The same slices in every contrast, healthy and with tumours.

If the tumour classes of a data set are mostly T1 post-contrast and its healthy images are not, a network may learn the
contrast instead of the lesion. Here only the contrast varies, so that predictions for the four versions of a slice show
what a network relies on.
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

    Every slice passes through the centre of the subject's tumour, or of a potential site; planes alternate. Subjects,
    geometry, noise and window are drawn once per slice and shared by all its contrasts.

    Args:
        seed: the subjects differ from those of `write_dataset` for any seed.
        subjects_per_class: of each of LABELS, including no_tumor.
        size: S, pixels.
        atlas: the mean head, if already loaded.

    Returns:
        Images uint8 [N, S, S, 3]; labels, text [N]; contrasts, text [N], cycling through MODALITIES, so that the
        versions of one slice are adjacent. N = classes × subjects_per_class × contrasts.
    """
    atlas = atlas or load_atlas()
    images, labels = [], []
    for label in LABELS:
        for number in range(subjects_per_class):
            # Negative subject numbers occur in no data set, so no network was trained on them.
            subject = sample_subject(seed, label, -1 - number, atlas)
            images += _versions(subject, (seed, "contrast probe", label, number), PLANES[number % len(PLANES)], size)
            labels += [label] * len(MODALITIES)
    contrasts = list(MODALITIES) * (len(labels) // len(MODALITIES))
    return np.repeat(np.stack(images)[..., None], 3, axis=-1), np.array(labels), np.array(contrasts)


def _versions(subject: Subject, key: tuple, plane: str, size: int) -> list[np.ndarray]:
    """One slice [S, S] uint8 in each of MODALITIES, with the same random draws for each."""
    points, pixel = plane_points(keyed_rng(*key, "geometry"), plane, subject.focus, size, tight=False)
    fractions = plane_tissues(subject, points, size).fractions
    shown = []
    for modality in MODALITIES:
        ideal = (fractions @ sample_table(keyed_rng(*key, "table"), modality)).reshape(size, size)
        shown.append(acquire(keyed_rng(*key, "acquisition"), ideal, fractions, pixel, tight=False))
    return shown
