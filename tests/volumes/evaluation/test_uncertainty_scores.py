from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from btlib.volumes.data.store import Case
from btlib.volumes.evaluation.cohort import Cohort
from btlib.volumes.evaluation.masks import PLAIN, Postprocessing, RegionRule
from btlib.volumes.evaluation.tables import GRADE_UNCERTAINTY, VOXEL_ERRORS
from btlib.volumes.evaluation.uncertainty import (
    BINS,
    SMALLEST,
    Doubts,
    auroc_from_histograms,
    error_histograms,
    histogram_rows,
    risk_curves,
    uncertainty_rows,
    voxel_error_auroc,
)
from tests.volumes.evaluation import joint_make


class Said(NamedTuple):
    p_wt: np.ndarray | None
    voxels: np.ndarray | None
    p_hgg: float | None
    grade: float | None


@pytest.fixture
def voxels():
    """Uncertainty [20, 20, 20] over many powers of ten, wrong voxels, and a mask."""
    rng = np.random.default_rng(0)
    uncertainty = 10 ** rng.uniform(-8, 0, (20, 20, 20))
    wrong = rng.random(uncertainty.shape) < 0.02 + 0.3 * uncertainty
    return uncertainty, wrong, rng.random(uncertainty.shape) < 0.7


def cohort(grades=joint_make.GRADES) -> Cohort:
    known = np.isin(joint_make.CASES, joint_make.SEGMENTED)
    return Cohort(*(np.array(part, dtype=object) for part in (joint_make.CASES, joint_make.PATIENTS, grades)), known)


def test_bins_by_hand():
    uncertainty = np.array([0, 0.5e-6, SMALLEST, 1e-3, 0.0999, 0.1001, 1.0])
    wrong = np.array([False, False, True, False, True, False, True])
    counts = error_histograms(uncertainty, wrong, np.ones(7, dtype=bool), bins=7)  # a bin for each power of ten
    assert counts.tolist() == [[2, 0, 0, 0, 1, 0, 1], [0, 1, 0, 0, 0, 1, 1]]
    assert error_histograms(uncertainty, wrong, uncertainty > 0.5, bins=7).sum(axis=0).tolist() == [0] * 6 + [1]


def test_every_voxel_of_the_mask_is_counted_once(voxels):
    uncertainty, wrong, mask = voxels
    right_counts, wrong_counts = error_histograms(uncertainty, wrong, mask)
    assert right_counts.sum() == (mask & ~wrong).sum() and wrong_counts.sum() == (mask & wrong).sum()
    assert len(right_counts) == BINS


def test_the_area_matches_scikit_learn_on_binned_values(voxels):
    uncertainty, wrong, mask = voxels
    counts = error_histograms(uncertainty, wrong, mask, bins=20)
    number = np.repeat(np.tile(np.arange(20), 2), counts.ravel())
    truth = np.repeat([False, True], counts.sum(axis=1))
    assert auroc_from_histograms(*counts) == pytest.approx(roc_auc_score(truth, number), abs=1e-12)


def test_bins_are_fine_enough_for_the_area_of_the_exact_values(voxels):
    uncertainty, wrong, mask = voxels
    area = auroc_from_histograms(*error_histograms(uncertainty, wrong, mask))
    above = np.maximum(uncertainty, SMALLEST)  # all below is one bin
    assert area == pytest.approx(roc_auc_score(wrong[mask], above[mask]), abs=1e-3)


def test_areas_of_many_histograms_at_once(voxels):
    counts = np.stack([error_histograms(*voxels, bins=9), error_histograms(*voxels, bins=9)[:, ::-1]])
    forward, backward = auroc_from_histograms(counts[:, 0], counts[:, 1])
    assert forward + backward == pytest.approx(1)


def test_without_an_error_or_without_a_right_voxel_the_area_is_undefined():
    nothing, something = np.zeros(5), np.arange(5)
    assert np.isnan(auroc_from_histograms(something, nothing)) and np.isnan(auroc_from_histograms(nothing, something))


def test_resampled_areas_are_those_of_the_drawn_cases():
    """The voxels of a case drawn twice count twice; those of a case not drawn do not count."""
    table = joint_make.voxel_errors(("mc_entropy",))
    weights = np.vstack([np.ones(14), np.arange(14) % 3])
    for drawn, area in zip(weights, voxel_error_auroc(table, np.array(joint_make.CASES), weights), strict=True):
        rows = table.assign(weight=table["case"].map(dict(zip(joint_make.CASES, drawn, strict=True))))
        values = np.tile(rows["bin"], 2)
        counted = np.concatenate([rows["right"] * rows["weight"], rows["wrong"] * rows["weight"]])
        assert area == pytest.approx(roc_auc_score(np.repeat([0, 1], len(rows)), values, sample_weight=counted))


def test_risk_and_coverage_by_hand():
    table = pd.concat(
        [
            histogram_rows("a", "x", np.array([[6, 0, 0, 2], [0, 0, 0, 1]])),
            histogram_rows("a", "y", np.array([[0, 3, 0, 2], [1, 0, 0, 5]])),
            histogram_rows("b", "x", np.array([[4, 0], [0, 4]])),
        ]
    )
    curves = risk_curves(table)
    assert list(curves) == ["a", "b"]
    assert curves["a"]["coverage"].tolist() == pytest.approx([7 / 20, 10 / 20, 1])
    assert curves["a"]["risk"].tolist() == pytest.approx([1 / 7, 1 / 10, 7 / 20])
    assert curves["b"].to_numpy().tolist() == [[0.5, 0], [1, 0.5]]


def test_only_filled_bins_become_rows():
    rows = histogram_rows("m", "c", np.array([[0, 3, 0], [0, 0, 2]]))
    assert rows.columns.tolist() == VOXEL_ERRORS
    assert rows.to_numpy().tolist() == [["m", "c", 1, 3, 0], ["m", "c", 2, 0, 2]]


def test_rows_hold_the_errors_that_each_method_finds():
    voxels, grades = joint_make.voxel_errors(), joint_make.grade_uncertainty()
    rows = uncertainty_rows(voxels, grades, cohort(), 200, np.random.default_rng(0))
    assert [row["method"] for row in rows] == ["softmax_entropy", "mc_entropy"]
    for row in rows:
        of_voxels = voxels[voxels["method"] == row["method"]][["right", "wrong"]].sum()
        assert row["voxel_error_rate"] == pytest.approx(of_voxels["wrong"] / of_voxels.sum())
        of_cases = grades[(grades["method"] == row["method"])].assign(grade=joint_make.GRADES)
        of_cases = of_cases[of_cases["grade"] != ""]
        wrong = (of_cases["p_HGG"] > 0.5) != (of_cases["grade"] == "HGG")
        assert row["grade_errors"] == wrong.sum() > 0 and row["n_graded"] == 13
        assert row["grade_error_auroc"] == pytest.approx(roc_auc_score(wrong, of_cases["uncertainty"]))
        for name in ("voxel_error_auroc", "grade_error_auroc"):
            low, high = row["ci95"][name]
            assert low <= row[name] <= high and low < high


def test_without_a_wrong_grade_its_area_is_none():
    grades = joint_make.grade_uncertainty(("mc_entropy",))
    high = np.array(joint_make.GRADES) == "HGG"
    (row,) = uncertainty_rows(
        joint_make.voxel_errors(("mc_entropy",)),
        grades.assign(p_HGG=np.where(high, 0.9, 0.1)),
        cohort(),
        20,
        np.random.default_rng(0),
    )
    assert row["grade_error_auroc"] is None and row["ci95"]["grade_error_auroc"] is None and row["grade_errors"] == 0
    assert row["voxel_error_auroc"] > 0.5


def test_a_network_that_only_grades_has_no_voxels_and_one_that_only_segments_no_grade():
    no_voxels, no_grades = pd.DataFrame(columns=VOXEL_ERRORS), pd.DataFrame(columns=GRADE_UNCERTAINTY)
    settings = (cohort(), 20, np.random.default_rng(0))
    (row,) = uncertainty_rows(no_voxels, joint_make.grade_uncertainty(("mc_entropy",)), *settings)
    assert row["voxel_error_auroc"] is None and row["voxel_error_rate"] is None and row["grade_error_auroc"] is not None
    (row,) = uncertainty_rows(joint_make.voxel_errors(("mc_entropy",)), no_grades, *settings)
    assert row["grade_error_auroc"] is None and row["n_graded"] == 0 and row["voxel_error_auroc"] is not None


def test_answers_are_collected_into_both_tables(voxels):
    uncertainty, wrong, mask = voxels
    truth = np.random.default_rng(1).random(wrong.shape) < 0.3
    doubts = Doubts()
    said = Said(np.where(wrong ^ truth, 0.9, 0.1), uncertainty, 0.7, 0.88)
    case = Case("a", np.float16(mask[None].repeat(4, 0)), truth.astype(np.uint8), np.eye(4), np.eye(4), mask.shape)
    doubts.add_case(case, {"mc_entropy": said})
    doubts.add_case(case._replace(name="b", seg=None), {"mc_entropy": said})  # it is unknown which voxels are wrong
    doubts.add_case(case._replace(name="c"), {"mc_entropy": Said(said.p_wt, uncertainty, None, None)})
    expected = histogram_rows("mc_entropy", "a", error_histograms(uncertainty, wrong, mask))
    assert doubts.voxel_errors["case"].unique().tolist() == ["a", "c"]
    pd.testing.assert_frame_equal(doubts.voxel_errors[doubts.voxel_errors["case"] == "a"], expected)
    assert doubts.grade_uncertainty.to_numpy().tolist() == [
        ["mc_entropy", "a", 0.7, 0.88],
        ["mc_entropy", "b", 0.7, 0.88],
    ]


def test_errors_are_those_of_the_post_processed_mask():
    """Of the whole tumour, a block of 8 voxels of 1 ml, and a speck that only post-processing removes."""
    seg, p_wt = np.zeros((8, 8, 8), np.uint8), np.full((8, 8, 8), 0.1)
    seg[:2, :2, :2] = 2
    p_wt[:2, :2, :2] = 0.4
    p_wt[6, 6, 6] = 0.9
    case = Case("a", np.ones((4, 8, 8, 8), np.float16), seg, np.diag([10.0, 10, 10, 1]), np.eye(4), seg.shape)
    said = {"softmax_entropy": Said(p_wt, np.full(seg.shape, 0.5), None, None)}
    wrong = {}
    chosen = Postprocessing(wt=RegionRule(threshold=0.3, smallest_component_ml=2))
    for name, rules in {"plain": PLAIN, "chosen": chosen}.items():
        doubts = Doubts(rules)
        doubts.add_case(case, said)
        wrong[name] = doubts.voxel_errors["wrong"].sum()
    assert wrong == {"plain": 9, "chosen": 0}


def test_without_answers_the_tables_have_their_columns():
    assert Doubts().voxel_errors.columns.tolist() == VOXEL_ERRORS
    assert Doubts().grade_uncertainty.columns.tolist() == GRADE_UNCERTAINTY
