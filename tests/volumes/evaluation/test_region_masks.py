"""Masks from hand-made probabilities: thresholds, nesting, and what is removed as too small."""

import numpy as np
import pytest

from btlib.core.runtime.artifacts import write_json
from btlib.core.runtime.errors import InputError
from btlib.volumes.data.conventions import regions_of
from btlib.volumes.data.store import Case
from btlib.volumes.evaluation.masks import (
    PLAIN,
    RULES_FILE,
    Postprocessing,
    RegionRule,
    labels_of,
    masks_of,
    native_labels,
    read_rules,
    tumor_of,
    voxel_ml,
)

CENTIMETERS = np.diag([10.0, 10, 10, 1])  # voxels of 1 ml


def volume(**blocks):
    """Probabilities [3, 12, 6, 6], 0 outside the blocks: region -> (first and last + 1 x, value) of rods of 1 × 1."""
    found = np.zeros((3, 12, 6, 6), np.float32)
    for row, region in enumerate(("wt", "tc", "et")):
        for start, stop, value in blocks.get(region, ()):
            found[row, start:stop, 2, 2] = value
    return found


def rods(masks):
    """The x of each mask's voxels."""
    return [np.flatnonzero(mask[:, 2, 2]).tolist() for mask in masks]


def without_small(smallest):
    return Postprocessing(wt=RegionRule(smallest_component_ml=smallest))


def test_without_rules_labels_are_nested_at_one_half():
    #                    wt   tc   et    of seven voxels
    probability = np.array(
        [
            [0.9, 0.1, 0.1],
            [0.9, 0.9, 0.1],
            [0.9, 0.9, 0.9],
            [0.1, 0.1, 0.1],
            [0.1, 0.9, 0.1],
            [0.1, 0.1, 0.9],
            [0.5, 0.5, 0.5],
        ]
    ).T[:, :, None, None]
    labels = labels_of(probability, CENTIMETERS, PLAIN)
    assert labels.ravel().tolist() == [2, 1, 3, 0, 1, 3, 0]
    np.testing.assert_array_equal(regions_of(labels), masks_of(probability, CENTIMETERS, PLAIN))


def test_each_region_has_its_threshold_and_a_value_at_it_is_outside():
    rules = Postprocessing(wt=RegionRule(threshold=0.25), tc=RegionRule(threshold=0.75))
    given = volume(wt=[(0, 2, 0.25), (2, 12, 0.26)], tc=[(0, 5, 0.75), (5, 12, 0.76)], et=[(0, 9, 0.5), (9, 12, 0.51)])
    assert rods(masks_of(given, CENTIMETERS, rules)) == [list(range(2, 12)), list(range(5, 12)), [9, 10, 11]]


def test_small_components_go_and_the_largest_stays():
    given = volume(wt=[(0, 4, 1), (5, 7, 1), (8, 9, 1)])
    for smallest, kept in {0: 7, 1: 7, 1.5: 6, 2: 6, 2.5: 4, 100: 4}.items():
        assert np.count_nonzero(tumor_of(given[0], CENTIMETERS, without_small(smallest))) == kept, smallest
    half = np.diag([10.0, 10, 5, 1])  # the same voxels have half the volume
    assert np.count_nonzero(tumor_of(given[0], half, without_small(1.5))) == 4


def test_equally_large_components_all_stay():
    """Else the order of the axes would decide which one does."""
    given = volume(wt=[(0, 2, 1), (4, 6, 1), (8, 9, 1)])[0]
    rules = without_small(3)
    found = tumor_of(given, CENTIMETERS, rules)
    assert np.flatnonzero(found[:, 2, 2]).tolist() == [0, 1, 4, 5]
    np.testing.assert_array_equal(tumor_of(given[::-1], CENTIMETERS, rules), found[::-1])


def test_voxels_that_share_a_corner_are_one_component():
    given = np.zeros((4, 4, 4))
    given[0, 0, 0] = given[1, 1, 1] = given[3, 3, 3] = 1
    assert np.count_nonzero(tumor_of(given, CENTIMETERS, without_small(2))) == 2


def test_enhancing_tumour_that_is_too_small_is_absent_and_stays_core():
    given = volume(wt=[(0, 8, 1)], tc=[(1, 4, 1)], et=[(2, 6, 1)])  # the enhancing part sticks out of the core
    kept = Postprocessing(et=RegionRule(smallest_region_ml=4))
    assert rods(masks_of(given, CENTIMETERS, kept))[2] == [2, 3, 4, 5]
    gone = Postprocessing(et=RegionRule(smallest_region_ml=4.5))
    assert rods(masks_of(given, CENTIMETERS, gone)) == [list(range(8)), [1, 2, 3, 4, 5], []]


def test_components_are_removed_before_the_region_is_measured():
    given = volume(et=[(0, 2, 1), (4, 5, 1)])
    rules = Postprocessing(et=RegionRule(smallest_component_ml=2, smallest_region_ml=3))
    assert rods(masks_of(given, CENTIMETERS, rules))[2] == []


def test_an_outer_region_keeps_what_an_inner_one_keeps():
    given = volume(wt=[(0, 5, 1)], et=[(8, 9, 1)])
    rules = Postprocessing(wt=RegionRule(smallest_component_ml=3), tc=RegionRule(smallest_component_ml=3))
    assert rods(masks_of(given, CENTIMETERS, rules)) == [[0, 1, 2, 3, 4, 8], [8], [8]]


def test_small_lesions_go_whole_and_the_largest_stays():
    """Lesions of 6, 3 and 1 voxels, of which the two small ones are enhancing."""
    given = volume(wt=[(0, 6, 1)], et=[(7, 10, 1), (11, 12, 1)])
    expected = {0.0: [3, 1], 0.16: [3, 1], 0.2: [3], 0.5: [3], 0.51: [], 1.0: []}
    for share, small in expected.items():
        rules = Postprocessing(smallest_lesion=share)
        wt, tc, et = masks_of(given, CENTIMETERS, rules)
        assert np.count_nonzero(wt) == 6 + sum(small) and np.count_nonzero(tc) == np.count_nonzero(et) == sum(small)
        alone = tumor_of(given.max(axis=0), CENTIMETERS, rules)
        np.testing.assert_array_equal(alone, wt)


def test_equally_large_lesions_all_stay():
    given = volume(wt=[(0, 3, 1), (5, 8, 1), (10, 12, 1)])
    assert rods(masks_of(given, CENTIMETERS, Postprocessing(smallest_lesion=1.0)))[0] == [0, 1, 2, 5, 6, 7]


def test_regions_are_nested_whatever_the_rules():
    rng, most = np.random.default_rng(0), {"threshold": 1, "smallest_component_ml": 5, "smallest_region_ml": 9}
    for _ in range(50):
        drawn = [RegionRule(**{name: rng.uniform(0, high) for name, high in most.items()}) for _ in range(3)]
        given = rng.random((3, 6, 6, 6))
        rules = Postprocessing(wt=drawn[0], tc=drawn[1], et=drawn[2], smallest_lesion=rng.random())
        wt, tc, et = masks_of(given, CENTIMETERS, rules)
        assert (et <= tc).all() and (tc <= wt).all()


def test_nothing_stays_nothing():
    rule = RegionRule(smallest_component_ml=1, smallest_region_ml=1)
    assert not labels_of(volume(), CENTIMETERS, Postprocessing(wt=rule, tc=rule, et=rule, smallest_lesion=0.5)).any()


def test_labels_are_on_the_input_grid_where_volumes_are_measured():
    """Voxels of 1 mm³ on the normalised grid, of 8 mm³ on the input grid."""
    case = Case("c", np.zeros((4, 12, 14, 10), np.float16), None, np.eye(4), np.diag([2.0, 2, 2, 1]), (6, 7, 5))
    probabilities = np.zeros((3, 12, 14, 10), np.float32)
    probabilities[:2, 4:8, 4:8, 4:8] = 1
    labels = native_labels(probabilities, case, PLAIN)
    assert labels.shape == case.native_shape
    assert labels[3, 3, 3] == 1
    assert labels[0, 0, 0] == 0
    voxels = np.count_nonzero(labels)
    for smallest, there in (((voxels - 0.5) * 0.008, True), ((voxels + 0.5) * 0.008, False)):
        rule = RegionRule(smallest_region_ml=smallest)
        assert native_labels(probabilities, case, Postprocessing(wt=rule, tc=rule)).any() == there


def test_the_volume_of_a_voxel_of_a_sheared_grid():
    assert voxel_ml(np.array([[2.0, 1, 0, 5], [0, 3, 0, 5], [0, 0, -4, 5], [0, 0, 0, 1]])) == pytest.approx(0.024)


def test_rules_survive_a_round_trip_and_damaged_ones_are_named(tmp_path):
    et = RegionRule(threshold=0.4, smallest_component_ml=0.1, smallest_region_ml=0.2)
    rules = Postprocessing(et=et, smallest_lesion=0.1)
    write_json(tmp_path / RULES_FILE, rules.model_dump())
    assert read_rules(tmp_path) == rules != PLAIN
    write_json(tmp_path / RULES_FILE, {"et": {"threshold": 4}, "wt": {"smallest_region_ml": "much"}})
    said = r"postprocessing\.json: wrong: et\.threshold, wt\.smallest_region_ml; run `dvc repro evaluate_joint`"
    with pytest.raises(InputError, match=said):
        read_rules(tmp_path)
    with pytest.raises(InputError, match=r"gone.*postprocessing\.json"):
        read_rules(tmp_path / "gone")
