"""Arms of an ablation on sets from other hospitals: by hand, reductions to one network's scores, undefined ones."""

import numpy as np
import pandas as pd
import pytest

from btlib.core.runtime.artifacts import write_csv
from btlib.core.runtime.errors import InputError
from btlib.images.evaluation.external import TUMOR_OR_NONE, external_of, external_scores
from btlib.images.evaluation.external_arms import arm_scores, read_arms
from tests.images.evaluation.test_external_scores import random_set, rng, table

KINDS, PATIENTS = ["tumor", "no_tumor", "tumor", "no_tumor"], ["A", "A", "B", "B"]


def network(p_none, labels=KINDS, patients=PATIENTS):
    return external_of(table(labels, p_none, patients).drop(columns=["unsure", "unfamiliar"]))


PROPOSED = {0: network([0.1, 0.9, 0.2, 0.8]), 1: network([0.1, 0.9, 0.8, 0.2])}
OTHER = {0: network([0.9, 0.1, 0.2, 0.8]), 1: network([0.7, 0.7, 0.2, 0.9])}


def test_two_arms_of_two_seeds_by_hand():
    first, second = arm_scores({"proposed": PROPOSED, "untied": OTHER}, 200, rng())
    assert (first["arm"], first["seeds"], first["difference"]) == ("proposed", [0, 1], None)
    # seed 0 is right throughout; seed 1 about A only: 3 of 4 pairs, half of the images
    assert [first[name] for name in TUMOR_OR_NONE] == pytest.approx([0.75, 0.75, 0.875, 0.75])
    # seed 0 is right about B only: 1 of 4 pairs; seed 1 ties on A and misses its tumour: 3.5 of 4 pairs
    assert (second["arm"], second["seeds"]) == ("untied", [0, 1])
    assert [second[name] for name in TUMOR_OR_NONE] == pytest.approx([0.5, 0.75, 0.5625, 0.625])
    # a resample has A twice, both, or B twice; A: 1 and 0.25, B: 0.5 and 1
    assert first["ci95"]["auc_within_patients"] == [0.5, 1]
    assert second["ci95"]["auc_within_patients"] == [0.25, 1]
    assert second["difference"] == {"value": -0.125, "ci95": [-0.75, 0.5]}


def test_the_difference_is_paired():
    """By patient the arms differ by the same amount, so that the difference has no width, unlike the scores."""
    worse = {0: network([0.9, 0.1, 0.8, 0.2]), 1: network([0.1, 0.9, 0.8, 0.2])}  # 0.5 less on A, 0.5 less on B
    first, second = arm_scores({"proposed": PROPOSED, "untied": worse}, 200, rng())
    assert first["ci95"]["auc_within_patients"] == [0.5, 1] and second["ci95"]["auc_within_patients"] == [0, 0.5]
    assert second["difference"] == {"value": -0.5, "ci95": [-0.5, -0.5]}


@pytest.mark.parametrize("seeds", [1, 3])
def test_equal_seeds_have_the_scores_and_intervals_of_one_network(seeds):
    answers = external_of(random_set())
    expected = external_scores(answers, 300, rng())
    (row,) = arm_scores({"proposed": dict.fromkeys(range(seeds), answers)}, 300, rng())
    for name in TUMOR_OR_NONE:
        assert row[name] == pytest.approx(expected[name])
        assert row["ci95"][name] == pytest.approx(expected["ci95"][name])


def test_scores_that_the_set_does_not_define_are_null():
    unknown = {0: network([0.1, 0.9, 0.2, 0.8], patients=[""] * 4)}
    _, row = arm_scores({"proposed": unknown, "untied": unknown}, 100, rng())
    assert row["auc"] == 1 and row["ci95"]["auc"] == [1, 1]
    assert row["auc_within_patients"] is row["ci95"]["auc_within_patients"] is row["difference"] is None
    healthy = {0: network([0.1, 0.9, 0.8, 0.7], labels=["no_tumor"] * 4)}
    (row,) = arm_scores({"proposed": healthy}, 100, rng())
    assert row["specificity"] == 0.75
    assert row["sensitivity"] is row["auc"] is row["auc_within_patients"] is row["ci95"]["auc"] is None


def test_one_patient_with_both_kinds_gives_no_interval():
    one = {0: network([0.1, 0.9, 0.2, 0.8], patients=["A", "A", "", ""])}
    other = {0: network([0.9, 0.1, 0.2, 0.8], patients=["A", "A", "", ""])}
    _, row = arm_scores({"proposed": one, "untied": other}, 100, rng())
    assert row["auc_within_patients"] == 0 and row["ci95"]["auc_within_patients"] is None
    assert row["difference"] == {"value": -1, "ci95": None}


def test_without_the_proposed_arm_there_is_no_difference():
    (row,) = arm_scores({"untied": OTHER}, 100, rng())
    assert row["difference"] is None and row["ci95"]["auc_within_patients"] == [0.25, 1]


def written(path, parts):
    """A table of (arm, seed) -> p(no tumour), as the stage writes it."""
    frames = [
        table(KINDS, p_none, ["01", "01", "", "2"])[["path", "label", "patient", "p_glioma", "p_no_tumor"]].assign(
            arm=arm, seed=seed
        )
        for (arm, seed), p_none in parts.items()
    ]
    write_csv(path, pd.concat(frames))
    return path


def test_a_table_is_read_in_its_order(tmp_path):
    first, second = [0.1, 0.9, 0.2, 0.8], [0.3, 0.9, 0.2, 0.8]
    path = written(tmp_path / "a.csv", {("proposed", 3): first, ("proposed", 10): second, ("a", 3): second})
    arms = read_arms(path)
    assert [(arm, list(seeds)) for arm, seeds in arms.items()] == [("proposed", [3, 10]), ("a", [3])]
    one = arms["proposed"][10]
    assert one.classes == ("glioma", "no_tumor") and one.unsure is None
    np.testing.assert_allclose(one.probabilities[:, 1], second)
    assert one.known.tolist() == [True, True, False, True]
    assert one.patients.tolist() == [0, 0, 1, 2]  # an image of unknown patient is on its own


def test_faulty_tables_are_named(tmp_path):
    path = written(tmp_path / "a.csv", {("proposed", 0): [0.1, 0.9, 0.2, 0.8], ("a", 1): [0.1, 0.9, 0.2, 0.8]})
    whole = pd.read_csv(path)
    write_csv(path, whole.iloc[:-1])
    with pytest.raises(InputError, match="arm a, seed 1: not the images of the first arm; run `dvc repro predict_ext"):
        read_arms(path)
    write_csv(path, whole.drop(columns=["seed", "p_no_tumor"]))
    with pytest.raises(InputError, match=r"missing columns \['seed', 'p_no_tumor'\]"):
        read_arms(path)
    write_csv(path, whole[["arm", "seed", "path", "label", "patient"]].iloc[:0])
    assert read_arms(path) == {}
