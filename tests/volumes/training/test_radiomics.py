"""Features of masks drawn by hand, computed by hand."""

import math

import numpy as np
import pytest

from btlib.volumes.training.radiomics import sphericity, tumor_features

EDEMA, NECROSIS, ENHANCING = 2, 1, 3
SPACING = (2.0, 2.0, 2.0)


def case():
    """A cube of 3³ voxels, oedema around 4 voxels of necrosis and 2 of enhancing tumour, which do not touch."""
    labels = np.zeros((8, 8, 8), np.uint8)
    labels[1:4, 1:4, 1:4] = EDEMA
    labels[1, 1:3, 1:3] = NECROSIS
    labels[3, 3, 2:4] = ENHANCING
    return labels


def test_volumes_shares_and_components():
    found = tumor_features(np.zeros((4, 8, 8, 8), np.float16), case(), SPACING)
    assert len(found) == 3 * (3 + 2 * 4) + 3
    assert [found[f"{region}_ml"] for region in ("wt", "tc", "et")] == pytest.approx([0.216, 0.048, 0.016])
    shares = [found[f"{part}_share"] for part in ("tc", "et", "necrosis")]
    assert shares == pytest.approx([6 / 27, 2 / 27, 4 / 27])
    assert [found[f"{region}_components"] for region in ("wt", "tc", "et")] == [1, 2, 1]


def test_voxels_that_touch_only_at_an_edge_are_two_components():
    labels = np.zeros((4, 4, 4), np.uint8)
    labels[1, 1, 1] = labels[2, 2, 1] = EDEMA
    assert tumor_features(np.zeros((4, 4, 4, 4)), labels, SPACING)["wt_components"] == 2


def test_sphericity_by_hand():
    cube = case() > 0
    assert sphericity(cube, SPACING) == pytest.approx((math.pi / 6) ** (1 / 3))
    assert sphericity(cube, SPACING) == pytest.approx(sphericity(cube, (1.0, 1.0, 1.0)))
    # two voxels side by side are 2 × 1 × 1 voxels: 10 faces
    pair = case() == ENHANCING
    assert sphericity(pair, (1.0, 1.0, 1.0)) == pytest.approx(math.pi ** (1 / 3) * 12 ** (2 / 3) / 10)
    # along the third axis, of 1 × 2 × 3 mm each: 12 mm³; 4 faces of 6 mm², 4 of 3 mm² and 2 of 2 mm²
    assert sphericity(pair, (1.0, 2.0, 3.0)) == pytest.approx(math.pi ** (1 / 3) * 72 ** (2 / 3) / 40)


def test_a_mask_at_the_border_has_outer_faces_there():
    assert sphericity(np.ones((3, 3, 3), bool), SPACING) == pytest.approx((math.pi / 6) ** (1 / 3))


def test_intensities_are_those_under_each_region():
    labels = case()
    image = np.zeros((4, 8, 8, 8), np.float16)
    image[1][labels == ENHANCING] = [1.0, 3.0]
    image[1][labels == NECROSIS] = -2.0
    image[3][labels == 0] = 100.0  # the rest of the brain has no influence
    found = tumor_features(image, labels, SPACING)
    assert found["et_t1ce_mean"] == 2.0 and found["et_t1ce_sd"] == 1.0
    core = np.array([1.0, 3.0, -2.0, -2.0, -2.0, -2.0])
    assert found["tc_t1ce_mean"] == pytest.approx(-4 / 6) and found["tc_t1ce_sd"] == pytest.approx(core.std())
    assert found["wt_t1ce_mean"] == pytest.approx(-4 / 27)
    assert [found[f"wt_{name}_mean"] for name in ("t1", "t2", "flair")] == [0, 0, 0]


def test_an_empty_region_has_zeros_and_leaves_the_others_alone():
    image = np.full((4, 8, 8, 8), 5.0, np.float16)
    whole, without = case(), case()
    without[without == ENHANCING] = EDEMA
    some, found = tumor_features(image, whole, SPACING), tumor_features(image, without, SPACING)
    assert list(some) == list(found)
    assert {value for name, value in found.items() if name.startswith("et_")} == {0.0}
    assert {name for name in found if found[name] != some[name]} == {
        *(name for name in some if name.startswith("et_") and some[name] != 0),
        *("tc_ml", "tc_components", "tc_sphericity", "tc_share"),
    }
    nothing = tumor_features(image, np.zeros_like(whole), SPACING)
    assert list(nothing) == list(some) and set(nothing.values()) == {0.0}
