"""Lesions in images without a tumour: sampling, one lesion per image, and the effect of the control."""

import cv2
import numpy as np
import pytest

from btlib.images.explain.lesion_insertion import insert_lesions, sample_lesions
from btlib.phantom.atlas import load_atlas
from btlib.phantom.lesion_patches import LesionPatch, control, lesion_patch

DISC = np.hypot(*(np.mgrid[:64, :64] - 31.5)) < 31


def lesion(difference: float) -> LesionPatch:
    return LesionPatch((difference * DISC).astype(np.float32), DISC.astype(np.float32), DISC, 0.3, "glioma")


@pytest.fixture(scope="module")
def head():
    """A bright skull around a brain of grey 86 to 114, uint8 [S, S, 3]."""
    y, x = np.mgrid[:128, :128] - 64
    brain = np.hypot(y / 48, x / 38) <= 1
    gray = np.where(np.hypot(y / 56, x / 46) <= 1, 220.0, 0)
    gray[brain] = (100 + 14 * np.sin(y / 3))[brain]
    return np.repeat(np.rint(gray).astype(np.uint8)[..., None], 3, axis=2)


def test_control_has_the_gliomas_place_and_the_brains_brightness(head):
    glioma, plain = (insert_lesions(head[None], [of], 0, [0])[0] for of in (lesion(1), control(lesion(1))))
    where = (glioma != head).any(axis=2)
    assert where.sum() > 500
    far = cv2.dilate(where.astype(np.uint8), np.ones((5, 5), np.uint8)) == 0  # the edge is soft by half a pixel
    assert (plain[far] == head[far]).all() and (plain[where] != head[where]).mean() > 0.5
    inside = cv2.erode(where.astype(np.uint8), np.ones((5, 5), np.uint8)) == 1
    assert plain[inside].mean() == pytest.approx(100, abs=3) and glioma[inside].mean() > 120


def test_lesions_alternate_and_images_do_not_depend_on_the_sample(head):
    both = [lesion(1), lesion(-1)]
    made = insert_lesions(np.stack([head] * 3), both, 0, [7, 3, 8])
    shift = made.astype(float).sum(axis=(1, 2, 3)) - head.sum()
    assert (np.sign(shift) == [1, -1, 1]).all()
    assert np.array_equal(made[2], insert_lesions(head[None], both, 0, [8])[0])
    assert not np.array_equal(made[0], made[2])  # different site and grain
    assert not np.array_equal(made[2], insert_lesions(head[None], both, 1, [8])[0])


def test_lesions_are_of_the_classifiers_tumors_with_a_control_for_gliomas():
    atlas = load_atlas(4)
    drawn = sample_lesions(0, ("glioma", "no_tumor", "pituitary"), 2, atlas)
    assert {name: len(patches) for name, patches in drawn.items()} == {"control": 2, "glioma": 2, "pituitary": 2}
    for plain, glioma in zip(drawn["control"], drawn["glioma"], strict=True):
        assert np.array_equal(plain.opacity, glioma.opacity) and plain.label == "glioma"
        assert not plain.difference.any() and glioma.difference.any()
    # of subjects that occur in no data set
    assert np.array_equal(drawn["glioma"][1].opacity, lesion_patch(0, "glioma", -2, "t1ce", atlas).opacity)
    assert list(sample_lesions(0, ("no_tumor", "pituitary"), 1, atlas)) == ["pituitary"]
