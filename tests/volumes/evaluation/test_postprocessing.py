"""Post-processing chosen on hand-made validation cases, where the best value is known."""

import numpy as np
import pandas as pd
import pytest

from btlib.core.metrics.outlines import dice
from btlib.volumes.data.store import Case
from btlib.volumes.evaluation.cohort import Cohort
from btlib.volumes.evaluation.gain import postprocessing_scores
from btlib.volumes.evaluation.masks import PLAIN, Postprocessing, RegionRule, masks_of
from btlib.volumes.evaluation.postprocessing import (
    CHOICES,
    NOISE,
    SHARES,
    THRESHOLDS,
    VOLUMES_ML,
    OnInputGrid,
    choose_postprocessing,
)
from btlib.volumes.evaluation.tables import DICE, SEGMENTATION, VALIDATION_DICE

SHAPE = (16, 12, 12)
AFFINE = np.diag([3.0, 3, 3, 1])  # voxels of 0.027 ml
TUMOR = (slice(2, 6), slice(2, 6), slice(2, 6))  # 64 voxels, 1.7 ml
CORE = (slice(3, 6), slice(3, 6), slice(3, 6))  # 27 voxels, 0.7 ml
ENHANCING = (slice(4, 6), slice(4, 6), slice(4, 6))  # 8 voxels, 0.2 ml


def case(wt=TUMOR, tc=CORE, et=None, specks=(), inside=0.9, outside=0.1, name="c"):
    """A case that is segmented without fault, except that `specks` (region, box) also have the probability 0.9.

    Args:
        wt, tc, et: boxes of the true regions; None: absent.
        inside, outside: probabilities in and around the true regions.
    """
    truth = np.zeros((3, *SHAPE), bool)
    for row, box in enumerate((wt, tc, et)):
        if box is not None:
            truth[(row, *box)] = True
    found = np.where(truth, inside, outside).astype(np.float32)
    for region, box in specks:
        found[(["wt", "tc", "et"].index(region), *box)] = 0.9
    return OnInputGrid(Case(name, None, None, np.eye(4), AFFINE, SHAPE), found, truth)


def speck(voxels):
    """A row of voxels away from the tumour; 2 are 0.054 ml and 5 are 0.135 ml."""
    return slice(13, 14), slice(0, voxels), slice(0, 1)


def often(*cases):
    """So many of each case that what some of them gain is certain."""
    return [each for each in cases for _ in range(6)]


def mean_dice(cases, rules):
    masks = [masks_of(each.probabilities, AFFINE, rules) for each in cases]
    return np.mean([list(map(dice, each.truth, found)) for each, found in zip(cases, masks, strict=True)])


@pytest.mark.parametrize(
    ("inside", "outside", "best"),
    [(0.9, 0.1, 0.5), (0.45, 0.1, 0.4), (0.35, 0.1, 0.3), (0.25, 0.1, 0.2), (0.9, 0.55, 0.6), (0.9, 0.75, 0.8)],
)
def test_the_threshold_nearest_to_one_half_that_separates_the_regions(inside, outside, best):
    rules, _ = choose_postprocessing(often(case(et=ENHANCING, inside=inside, outside=outside)))
    assert rules == Postprocessing(**dict.fromkeys(("wt", "tc", "et"), RegionRule(threshold=best)))


def test_a_speck_in_all_three_regions_is_removed_from_all():
    """From the outer ones only once the inner ones do not keep it."""
    everywhere = [(region, speck(2)) for region in ("wt", "tc", "et")]
    rules, table = choose_postprocessing(often(case(et=ENHANCING, specks=everywhere)))
    assert rules == Postprocessing(**dict.fromkeys(("wt", "tc", "et"), RegionRule(smallest_component_ml=0.1)))
    assert (table["dice"] == 1).all()


def test_each_region_has_its_own_threshold():
    made = case(et=ENHANCING)
    made.probabilities[0] = np.where(made.truth[0], 0.35, 0.1)
    made.probabilities[2] = np.where(made.truth[2], 0.9, np.where(made.truth[1], 0.65, 0.1))
    rules, _ = choose_postprocessing(often(made))
    assert (rules.wt.threshold, rules.tc.threshold, rules.et.threshold) == (0.3, 0.5, 0.7)


def test_components_that_are_false_everywhere_are_removed_with_the_smallest_volume_that_does():
    rules, table = choose_postprocessing(
        often(case(specks=[("wt", speck(2))]), case(specks=[("wt", speck(5))], name="d"))
    )
    assert rules == Postprocessing(wt=RegionRule(smallest_component_ml=0.2))
    whole = table[table["region"] == "wt"].set_index("case")
    assert (whole["dice"] == 1).all()
    assert whole["dice_raw"].tolist() == pytest.approx(often(2 * 64 / (2 * 64 + 2), 2 * 64 / (2 * 64 + 5)))


def test_components_that_are_mostly_right_stay():
    """A second lesion of 1 ml in one case, and a false speck of 5 voxels in the other."""
    lesions = case(name="d")
    lesions.truth[0, 12:15, 0:4, 0:3] = True
    lesions.probabilities[0, 12:15, 0:4, 0:3] = 0.9
    rules, _ = choose_postprocessing(often(case(specks=[("wt", speck(5))]), lesions))
    assert rules.wt.smallest_component_ml == 0.2, "0.2 removes the speck, and 1.0 would remove the lesion too"


def test_a_false_lesion_too_large_for_a_component_goes_by_its_share_of_the_largest():
    """A false lesion of 40 voxels, 1.08 ml, in a case with one of 1,000; a true second focus of 64 beside 1,000."""
    big = (slice(0, 10), slice(0, 10), slice(0, 10))
    false = case(
        wt=big, tc=None, specks=[(region, (slice(12, 16), slice(1, 11), slice(0, 1))) for region in ("wt", "tc")]
    )
    assert choose_postprocessing(often(false)).rules == Postprocessing(smallest_lesion=0.05)
    two = case(wt=big, tc=None, name="d")
    two.truth[0, 12:16, 4:8, 4:8] = True
    two.probabilities[0, 12:16, 4:8, 4:8] = 0.9
    rules, table = choose_postprocessing(often(false, two))
    assert rules == Postprocessing(smallest_lesion=0.05) and (table["dice"] == 1).all()


def test_a_false_lesion_that_hardly_matters_for_dice_goes_if_the_distance_falls():
    """40 voxels beside 1,000, 9 mm away: a gain below NOISE, but more than 5 % of the surface."""
    big, bit = (slice(0, 10), slice(0, 10), slice(0, 10)), (slice(12, 16), slice(0, 10), slice(0, 1))
    cases = [case(wt=big, tc=None, specks=[("wt", bit)]), *(case(wt=big, tc=None, name=name) for name in "def")]
    assert 0 < mean_dice(cases, Postprocessing(smallest_lesion=0.05)) - mean_dice(cases, PLAIN) < NOISE
    near = [row for row in CHOICES if row[1] != "smallest_component_ml"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("btlib.volumes.evaluation.postprocessing.CHOICES", near)
        assert choose_postprocessing(cases).rules == Postprocessing(smallest_lesion=0.05)
        cases[0].truth[(0, *bit)] = True
        assert choose_postprocessing(cases).rules == PLAIN


def test_enhancing_tumour_is_absent_below_the_volume_that_separates_false_from_true():
    false, true = ((slice(4, 5), slice(4, 4 + n), slice(4, 5)) for n in (3, 6))  # 0.081 and 0.162 ml
    rules, table = choose_postprocessing(often(case(specks=[("et", false)]), case(et=true, name="d")))
    assert rules == Postprocessing(et=RegionRule(smallest_region_ml=0.1))
    assert table.loc[table["region"] == "et", ["dice", "dice_raw"]].to_numpy().tolist() == often([1, 0], [1, 1])


def test_a_region_absent_everywhere_and_never_predicted_needs_no_rule():
    rules, table = choose_postprocessing([case(), case(wt=None, tc=None, name="d")])
    assert rules == PLAIN
    assert (table[["dice", "dice_raw"]] == 1).all(axis=None) and len(table) == 6


def test_an_absent_region_is_emptied_by_its_volume_and_not_by_a_threshold():
    """A threshold of 0.7 would do it too, but lose a part of the other case's enhancing tumour."""
    doubtful = case(name="d")
    doubtful.probabilities[2, 4, 4:6, 4] = 0.6
    found = case(et=ENHANCING, name="e")
    found.probabilities[2, 4, 4:6, 4:6] = 0.65
    rules, table = choose_postprocessing(often(doubtful, found))
    assert rules == Postprocessing(et=RegionRule(smallest_region_ml=0.1))
    assert (table["dice"] == 1).all()


@pytest.mark.parametrize(("voxels", "smallest"), [(1, 0.0), (5, 0.2)])
def test_a_gain_below_the_noise_changes_nothing(voxels, smallest):
    """The mean Dice rises by 0.0009 without the specks of one voxel, and by 0.004 without those of five."""
    cases = often(case(specks=[("wt", speck(voxels))]), case(name="d"), case(name="e"))
    rules, _ = choose_postprocessing(cases)
    assert mean_dice(cases, Postprocessing(wt=RegionRule(smallest_component_ml=0.2))) == 1
    assert 1 - mean_dice(cases, PLAIN) == pytest.approx(voxels / (128 + voxels) / 9)
    assert rules.wt.smallest_component_ml == smallest


def test_on_a_single_case_nothing_is_chosen():
    rules, table = choose_postprocessing([case(et=ENHANCING, inside=0.25, specks=[("wt", speck(5))])])
    assert rules == PLAIN and len(table) == 3 and (table["dice"] == table["dice_raw"]).all()


@pytest.mark.parametrize(("emptied", "smallest"), [(1, 0.0), (3, 0.0), (8, 0.1)])
def test_a_region_that_goes_in_a_few_of_many_cases_decides_nothing(emptied, smallest):
    """Its Dice there rises from 0 to 1, and the mean of 16 cases by 0.02 for each; but in 16 others it might not."""
    false = [case(specks=[("et", (slice(4, 5), slice(4, 7), slice(4, 5)))])] * emptied
    rules, _ = choose_postprocessing(false + [case(et=ENHANCING)] * (16 - emptied))
    assert rules == Postprocessing(et=RegionRule(smallest_region_ml=smallest))


def test_ties_keep_one_half_and_remove_nothing():
    assert (THRESHOLDS[0], VOLUMES_ML[0]) == (0.5, 0)
    assert list(THRESHOLDS) == sorted(THRESHOLDS, key=lambda value: round(abs(value - 0.5), 9))
    assert list(VOLUMES_ML) == sorted(VOLUMES_ML) and list(SHARES) == sorted(SHARES) and SHARES[0] == 0
    # nothing that can be chosen changes anything: the tumour is missed altogether
    assert choose_postprocessing(often(case(inside=0.05, outside=0.05))).rules == PLAIN


def test_without_a_segmented_validation_case_nothing_is_chosen():
    for cases in ([], [case(specks=[("wt", speck(2))])._replace(truth=None)]):
        rules, table = choose_postprocessing(cases)
        assert rules == PLAIN and table.empty and table.columns.tolist() == VALIDATION_DICE


def noisy(seed):
    """A tumour in smooth noise, found badly; the enhancing part is absent in every other case."""
    rng = np.random.default_rng(seed)
    made = case(et=ENHANCING if seed % 2 else None, name=str(seed))
    blurred = rng.normal(size=(3, *SHAPE)).cumsum(axis=1).cumsum(axis=2) / 8
    return made._replace(probabilities=np.float32(1 / (1 + np.exp(-blurred - 2.0 * made.truth + 1))))


@pytest.mark.parametrize("start", range(0, 80, 8))
def test_the_mean_dice_of_the_validation_cases_never_falls(start):
    cases = [noisy(seed) for seed in range(start, start + 8)]
    rules, table = choose_postprocessing(iter(cases))
    after, before = mean_dice(cases, rules), mean_dice(cases, PLAIN)
    assert after >= before
    assert table["dice"].mean() == pytest.approx(after) and table["dice_raw"].mean() == pytest.approx(before)
    assert rules != PLAIN, "else this test shows nothing"


def cohort(names):
    parts = (np.array(part, dtype=object) for part in (names, names, ["HGG"] * len(names)))
    return Cohort(*parts, np.ones(len(names), bool))


def test_the_gain_by_hand():
    validation = pd.DataFrame([("v", r, 0.9, 0.8) for r in ("wt", "tc", "et")], columns=VALIDATION_DICE)
    rows = [
        (name, region, after, 1.0, 1.0, 1.0, before)
        for name, after, before in (("a", 0.9, 0.5), ("b", 0.6, 0.6))
        for region in ("wt", "tc", "et")
    ]
    segmentation = pd.DataFrame(rows, columns=SEGMENTATION)
    found = postprocessing_scores(PLAIN, validation, segmentation, cohort(["a", "b"]), 200, np.random.default_rng(0))
    assert found["rules"] == PLAIN.model_dump()
    assert found["val"] == {"n": 1, "raw": dict.fromkeys(DICE, 0.8), "postprocessed": dict.fromkeys(DICE, 0.9)}
    test = found["test"]
    assert test["n"] == 2 and test["raw"] == pytest.approx(dict.fromkeys(DICE, 0.55))
    assert test["postprocessed"] == pytest.approx(dict.fromkeys(DICE, 0.75))
    assert test["difference"] == pytest.approx(dict.fromkeys(DICE, 0.2))
    assert test["ci95"]["dice_wt"] == pytest.approx([0, 0.4])  # both resamples may be a, or b


def test_without_choice_or_test_cases_there_is_no_gain():
    nothing = pd.DataFrame(columns=VALIDATION_DICE), pd.DataFrame(columns=SEGMENTATION)
    rng = np.random.default_rng(0)
    assert postprocessing_scores(PLAIN, *nothing, cohort(["a"]), 20, rng) is None
    validation = pd.DataFrame([("v", r, 0.9, 0.8) for r in ("wt", "tc", "et")], columns=VALIDATION_DICE)
    test = postprocessing_scores(PLAIN, validation, nothing[1], cohort(["a"]), 20, rng)["test"]
    assert test["n"] == 0 and test["raw"] == test["difference"] == dict.fromkeys(DICE)
