"""Lesions cut out of phantoms."""

import numpy as np
import pytest

from btlib.phantom.lesion_patches import HEAD_WIDTH, SIDE, lesion_patch
from btlib.phantom.subject import sample_subject

TUMORS = ("glioma", "meningioma", "pituitary")


@pytest.mark.parametrize("label", TUMORS)
def test_patch_contains_only_the_lesion(label, atlas):
    patch = lesion_patch(0, label, 0, "t1ce", atlas)
    assert patch.difference.shape == patch.opacity.shape == patch.mask.shape == (SIDE, SIDE)
    assert patch.label == label and 0.1 < patch.share < 2
    assert (patch.difference[patch.opacity == 0] == 0).all()
    assert patch.opacity.min() >= 0 and patch.opacity.max() <= 1 + 1e-5
    assert patch.mask.any() and (patch.opacity[patch.mask] >= 0.5).all()
    assert not patch.opacity[[0, -1]].any() and not patch.opacity[:, [0, -1]].any()


def test_patch_depends_only_on_its_arguments(atlas):
    first, again = (lesion_patch(3, "glioma", 1, "flair", atlas) for _ in range(2))
    assert np.array_equal(first.difference, again.difference)
    assert not np.array_equal(first.difference, lesion_patch(4, "glioma", 1, "flair", atlas).difference)


def test_contrast_changes_only_grey_values(atlas):
    """Enhancing tissue is a little darker than white matter on T1 and much brighter after gadolinium."""
    patches = {name: lesion_patch(0, "meningioma", 1, name, atlas) for name in ("t1", "t1ce")}
    assert np.array_equal(patches["t1"].opacity, patches["t1ce"].opacity)
    assert np.array_equal(patches["t1"].mask, patches["t1ce"].mask)
    grays = {name: patch.difference[patch.mask].mean() for name, patch in patches.items()}
    assert grays["t1"] < 0.2 < grays["t1ce"]


def test_meningioma_is_below_its_dura_and_pituitary_tumor_centred(atlas):
    rows = np.arange(SIDE)[:, None] - (SIDE - 1) / 2
    for number in range(4):
        meningioma = lesion_patch(1, "meningioma", number, "t1ce", atlas)
        assert (meningioma.mask * rows).sum() > 0
        pituitary = lesion_patch(1, "pituitary", number, "t1ce", atlas)
        assert pituitary.mask[SIDE // 2, SIDE // 2]


def test_patch_size_matches_the_tumor(atlas):
    """A pituitary tumour of radius r, in a square whose side is twice its reach, covers about π r² or more."""
    for number in range(3):
        radius = sample_subject(0, "pituitary", number, atlas).tumor.radius
        patch = lesion_patch(0, "pituitary", number, "t1ce", atlas)
        area = patch.mask.mean() * (patch.share * HEAD_WIDTH) ** 2
        assert 0.8 * np.pi * radius**2 < area < 3 * np.pi * radius**2
