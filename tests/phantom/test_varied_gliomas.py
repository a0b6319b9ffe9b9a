"""Gliomas to train on: how far they vary, and what tells the grades apart."""

import numpy as np
import pytest

from btlib.core.runtime.reproducibility import keyed_rng
from btlib.phantom import varied_gliomas
from btlib.phantom.gliomas import GRADES
from btlib.phantom.varied_gliomas import between, sample_varied_glioma

USUAL, WIDEST = (4.0, 5.0), (1.0, 11.0)


def gliomas(grade, variety, atlas, count=60):
    return [sample_varied_glioma(keyed_rng("glioma", number), grade, atlas, variety) for number in range(count)]


def farthest(tumor):
    """Distance of the centres from the first one, relative to its radius."""
    return np.linalg.norm(tumor.centers - tumor.center, axis=1).max() / tumor.radius


@pytest.mark.parametrize(("variety", "low", "high"), [(0, 4, 5), (1, 1, 11), (0.5, 2.5, 8)])
def test_between_draws_from_the_whole_of_its_range(variety, low, high):
    drawn = between(np.random.default_rng(0), variety, USUAL, WIDEST, 2000)
    assert low <= drawn.min() < low + 0.01 * (high - low) and high - 0.01 * (high - low) < drawn.max() <= high


def test_between_of_a_range_without_width_is_its_value():
    assert between(np.random.default_rng(0), 0, (0.7, 0.7), WIDEST) == 0.7
    assert between(np.random.default_rng(0), 1, USUAL, WIDEST, (3, 2)).shape == (3, 2)


def test_the_same_generator_gives_the_same_glioma(atlas):
    one, again, other = (sample_varied_glioma(keyed_rng(key), "HGG", atlas, 1.0) for key in (3, 3, 4))
    for name, value in vars(one).items():
        np.testing.assert_array_equal(value, getattr(again, name))
    assert not np.array_equal(one.center, other.center) and one.radius != other.radius


@pytest.mark.parametrize("grade", GRADES)
def test_variety_widens_every_property(atlas, grade):
    usual, varied = (gliomas(grade, variety, atlas) for variety in (0.0, 1.0))
    for name in ("radius", "roughness", "edge", "edema", "push", "infiltration", "core"):
        spread = [np.std([getattr(tumor, name) for tumor in tumors]) for tumors in (usual, varied)]
        assert spread[0] < spread[1], name
    assert max(map(farthest, usual)) < 1.5 < 2 < max(map(farthest, varied))


def test_high_grade_ones_enhance_more_often_but_neither_always_nor_alone(atlas):
    share = {grade: np.mean([tumor.uptake > 0.2 for tumor in gliomas(grade, 1.0, atlas)]) for grade in GRADES}
    assert 0 < share["LGG"] < share["HGG"] - 0.2 and share["HGG"] < 1


@pytest.mark.parametrize("grade", GRADES)
def test_some_of_each_grade_have_a_wall_and_some_are_solid(atlas, grade):
    tumors = gliomas(grade, 1.0, atlas)
    assert {bool(tumor.rim < tumor.radius) for tumor in tumors} == {True, False}


@pytest.mark.parametrize("variety", [0.0, 1.0])
def test_a_butterfly_lies_in_both_hemispheres_and_between_them(atlas, monkeypatch, variety):
    monkeypatch.setattr(varied_gliomas, "BUTTERFLY", 1.0)
    for tumor in gliomas("HGG", variety, atlas, count=12):
        sides = np.sort(tumor.centers[:, 0])
        if variety:
            assert len(sides) == len(tumor.radii) == 3
            assert sides[0] < -5 and abs(sides[1]) < 12 and sides[2] > 5
            assert np.array_equal(tumor.anchor, tumor.center)
        else:
            assert abs(tumor.center[0]) > 13  # none at variety 0: off the midline, in one hemisphere
