"""Contrasts, acquisition, slices."""

import numpy as np
import pytest

from btlib.core.runtime.reproducibility import keyed_rng
from btlib.phantom.acquisition import bias_field, coil, compress, rician, sharpen, window
from btlib.phantom.contrasts import MODALITIES, intensities, sample_table
from btlib.phantom.slices import MODALITY_SHARES, PLANES, SMALLEST_LESION, sample_slice
from btlib.phantom.subject import sample_subject
from btlib.phantom.tissues import INDEX
from btlib.phantom.tumors import LABELS

SIZE = 72


@pytest.fixture(scope="module")
def tables():
    return {name: dict(zip(INDEX, intensities(name), strict=True)) for name in MODALITIES}


def test_fluid_is_dark_except_on_t2(tables):
    for name in ("t1", "t1ce", "flair"):
        assert tables[name]["csf"] < 0.5 * tables[name]["gm"]
    assert tables["t2"]["csf"] > 1.5 * tables["t2"]["gm"]


def test_white_matter_is_brighter_than_gray_on_t1_only(tables):
    assert tables["t1"]["wm"] > tables["t1"]["gm"] and tables["t1ce"]["wm"] > tables["t1ce"]["gm"]
    assert tables["t2"]["wm"] < tables["t2"]["gm"] and tables["flair"]["wm"] < tables["flair"]["gm"]


def test_contrast_agent_brightens_only_enhancing_tissue(tables):
    for tissue in ("enhancing", "dura", "blood", "gland", "mucosa"):
        assert tables["t1ce"][tissue] > 1.5 * tables["t1"][tissue]
    for tissue in ("gm", "wm", "csf", "edema", "necrosis", "fat"):
        assert tables["t1ce"][tissue] == pytest.approx(tables["t1"][tissue], rel=0.08)
    assert tables["t1"]["enhancing"] < tables["t1"]["wm"] < tables["t1ce"]["enhancing"]


def test_edema_is_bright_on_t2_and_flair(tables):
    for name in ("t2", "flair"):
        assert tables[name]["edema"] > 1.4 * tables[name]["wm"]
    assert tables["t1ce"]["edema"] < tables["t1ce"]["wm"]


def test_subjects_tables_differ_a_little():
    draws = np.stack([sample_table(keyed_rng(n), "t1ce") for n in range(200)])
    assert draws.mean(0)[INDEX["fat"]] == pytest.approx(intensities("t1ce")[INDEX["fat"]], rel=0.03)
    assert 0.03 < draws[:, INDEX["fat"]].std() / draws[:, INDEX["fat"]].mean() < 0.1


def test_rician_noise_has_the_known_moments():
    rng = np.random.default_rng(0)
    background = rician(rng, np.zeros((300, 300), np.float32), 2.0)
    assert background.mean() == pytest.approx(2 * np.sqrt(np.pi / 2), rel=0.02)
    strong = rician(rng, np.full((300, 300), 100, np.float32), 2.0)
    assert strong.std() == pytest.approx(2, rel=0.03)


def test_bias_field_is_smooth_positive_and_centered():
    field = bias_field(np.random.default_rng(1), (60, 80), 0.1)
    assert field.shape == (60, 80) and field.min() > 0.3
    assert np.abs(np.diff(field, axis=0)).max() < 0.03
    assert bias_field(np.random.default_rng(1), (9, 9), 0.0) == pytest.approx(1)


def test_coil_fades_towards_the_neck():
    assert coil(np.array([50.0, -45.0, -110.0]), 1.0) == pytest.approx([1, 1, 0.5])


def test_window_shows_the_reference_at_its_level():
    image = np.array([[0.0, 50.0, 100.0, 400.0, -5.0]])
    assert window(image, 100, 200, 1.0).tolist() == [[0, 100, 200, 255, 0]]


def test_display_steps_keep_shape_and_flat_images():
    flat = np.full((32, 32), 90, np.uint8)
    assert (sharpen(flat, 1.0) == 90).all()
    assert np.abs(compress(flat, 80).astype(int) - 90).max() <= 1


def test_modality_shares_do_not_depend_on_the_class(atlas):
    assert sum(MODALITY_SHARES) == pytest.approx(1)
    drawn = {}
    for label in LABELS:
        subject = sample_subject(0, label, 0, atlas)
        drawn[label] = [sample_slice(keyed_rng(n), subject, "axial", 32).modality for n in range(12)]
    assert drawn["glioma"] == drawn["no_tumor"] == drawn["pituitary"] == drawn["meningioma"]


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("label", LABELS)
def test_slice_shows_its_tumor_inside_the_head(atlas, label, plane):
    subject = sample_subject(3, label, 1, atlas)
    item = sample_slice(keyed_rng(1), subject, plane, SIZE)
    assert item.image.shape == item.mask.shape == (SIZE, SIZE)
    assert item.image.dtype == np.uint8 and item.image.max() > 100
    assert 0.15 < (item.image > 20).mean() < 0.98
    if label == "no_tumor":
        assert not item.mask.any()
    else:
        assert item.mask.mean() >= SMALLEST_LESION
        assert (item.image[item.mask] > 3).mean() > 0.95


def test_slice_depends_only_on_its_seed(atlas):
    subject = sample_subject(3, "glioma", 0, atlas)
    first, again = (sample_slice(keyed_rng(9), subject, "coronal", 48) for _ in range(2))
    other = sample_slice(keyed_rng(10), subject, "coronal", 48)
    assert np.array_equal(first.image, again.image) and np.array_equal(first.mask, again.mask)
    assert not np.array_equal(first.image, other.image)
