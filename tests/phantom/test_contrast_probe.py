"""The same slices in every contrast."""

import numpy as np
import pytest

from btlib.phantom.contrast_probe import contrast_slices
from btlib.phantom.contrasts import MODALITIES
from btlib.phantom.tumors import LABELS

SIZE = 64


@pytest.fixture(scope="module")
def probe(atlas):
    return contrast_slices(0, 2, SIZE, atlas)


def test_every_class_has_every_contrast(probe):
    images, labels, contrasts = probe
    assert images.shape == (4 * 2 * 4, SIZE, SIZE, 3) and images.dtype == np.uint8
    assert (images == images[..., :1]).all()
    for label in LABELS:
        assert contrasts[labels == label].tolist() == list(MODALITIES) * 2


def test_versions_of_a_slice_show_the_same_head(probe):
    images, _, _ = probe
    gray = images[..., 0].reshape(-1, 4, SIZE, SIZE).astype(float)
    for versions in gray:
        heads = versions > 25
        assert (heads.all(axis=0).sum() / heads.any(axis=0).sum()) > 0.6
        assert len({version.tobytes() for version in versions}) == 4


def test_healthy_slices_change_little_with_gadolinium_but_much_with_t2(probe):
    images, labels, contrasts = probe
    healthy = {name: images[(labels == "no_tumor") & (contrasts == name)][..., 0].astype(float) for name in MODALITIES}
    t1, t1ce, t2 = (healthy[name].ravel() for name in ("t1", "t1ce", "t2"))
    assert np.corrcoef(t1, t1ce)[0, 1] > 0.9 > np.corrcoef(t1, t2)[0, 1]


def test_adding_subjects_does_not_change_the_first_ones(probe, atlas):
    images, labels, _ = probe
    fewer, of_them, _ = contrast_slices(0, 1, SIZE, atlas)
    for label in LABELS:
        assert np.array_equal(fewer[of_them == label], images[labels == label][:4])
    other, _, _ = contrast_slices(1, 1, SIZE, atlas)
    assert not np.array_equal(other, fewer)
