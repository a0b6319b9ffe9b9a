import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from btlib.core.runtime.artifacts import write_csv
from btlib.core.runtime.dealing import SPLITS
from btlib.core.runtime.errors import InputError
from btlib.volumes.data.splits import Fold, cases_of, check_no_shared_patients, grade_counts, split_cases


def cases(lgg, hgg, ungraded=0, per_patient=1, without_seg=0) -> pd.DataFrame:
    """`per_patient` scans of each patient; every `without_seg`-th case has no segmentation."""
    grades = ["LGG"] * lgg + ["HGG"] * hgg + [""] * ungraded
    patients = np.repeat(np.arange(len(grades)), per_patient)
    table = pd.DataFrame({"patient": [f"p{number}" for number in patients], "grade": np.repeat(grades, per_patient)})
    table.insert(0, "case", [f"c{number:03}" for number in range(len(table))])
    bare = np.arange(len(table)) % without_seg == 0 if without_seg else np.zeros(len(table), bool)
    return table.assign(seg=np.where(bare, "", table["case"] + "_seg.nii.gz"))


def test_held_out_share_is_halved():
    table = cases(40, 40)
    assert grade_counts(table, split_cases(table, 0.4, 0)) == {
        "train": {"LGG": 24, "HGG": 24, "ungraded": 0},
        "val": {"LGG": 8, "HGG": 8, "ungraded": 0},
        "test": {"LGG": 8, "HGG": 8, "ungraded": 0},
    }
    assert grade_counts(table, split_cases(table, 0.2, 0))["test"] == {"LGG": 4, "HGG": 4, "ungraded": 0}


def test_strata_for_ungraded_and_unsegmented_cases():
    table = cases(30, 50, ungraded=20, without_seg=4)
    assigned = split_cases(table, 0.4, 1)
    counts = grade_counts(table, assigned)
    assert [counts[name]["ungraded"] for name in SPLITS] == [12, 4, 4]
    bare = pd.Series(assigned)[(table["seg"] == "").to_numpy()].value_counts()
    assert bare["train"] == pytest.approx(15, abs=2) and bare["test"] == pytest.approx(5, abs=2)


def test_split_depends_on_the_seed():
    table = cases(20, 20)
    assert (split_cases(table, 0.4, 3) == split_cases(table, 0.4, 3)).all()
    assert (split_cases(table, 0.4, 3) != split_cases(table, 0.4, 4)).any()


@settings(max_examples=40, deadline=None)
@given(st.integers(3, 30), st.integers(3, 30), st.integers(0, 10), st.integers(1, 4), st.sampled_from([0.2, 0.4, 0.5]))
def test_patients_stay_together_and_every_split_has_both_grades(lgg, hgg, ungraded, per_patient, held_out):
    table = cases(lgg, hgg, ungraded, per_patient)
    assigned = split_cases(table, held_out, 0)
    assert pd.Series(assigned).groupby(table["patient"]).nunique().max() == 1
    assert all(counts["LGG"] and counts["HGG"] for counts in grade_counts(table, assigned).values())


@pytest.mark.parametrize(
    ("table", "fault"),
    [
        (cases(2, 20), r"no LGG case in (train|val|test) \(2 patient\(s\) in all\)"),
        (cases(1, 20, per_patient=6), r"no LGG case in \w+ \(1 patient\(s\) in all\)"),
        (cases(0, 0, ungraded=30), r"no LGG case in train.*\n.*no LGG case in val[\s\S]*a cases\.csv"),
        (cases(9, 9, without_seg=1), r"no segmented case in train \(0 patient\(s\) in all\)"),
    ],
)
def test_splits_without_cases_for_both_tasks(table, fault):
    with pytest.raises(InputError, match=rf"cannot be split so that every split [\s\S]*{fault}"):
        split_cases(table, 0.4, 0)


def test_set_without_grades_suffices_without_grading():
    assigned = split_cases(cases(0, 0, ungraded=30), 0.4, 0, grades=False)
    assert [int((assigned == part).sum()) for part in ("train", "val", "test")] == [18, 6, 6]
    with pytest.raises(InputError, match=r"no segmented case"):
        split_cases(cases(9, 9, without_seg=1), 0.4, 0, grades=False)
    split_cases(cases(9, 9, without_seg=1), 0.4, 0, segments=False)


def folds(table, of, **options):
    return [split_cases(table, 0.4, 0, fold=Fold(number, of), **options) for number in range(of)]


@settings(max_examples=25, deadline=None)
@given(st.integers(12, 30), st.integers(12, 30), st.integers(1, 3), st.sampled_from([2, 3, 5]))
def test_over_the_folds_every_patient_is_tested_once_and_stays_in_one_split(lgg, hgg, per_patient, of):
    table = cases(lgg, hgg, per_patient=per_patient)
    found = folds(table, of)
    assert (np.sum([assigned == "test" for assigned in found], axis=0) == 1).all()
    for assigned in found:
        assert pd.Series(assigned).groupby(table["patient"]).nunique().max() == 1
        assert all(counts["LGG"] and counts["HGG"] for counts in grade_counts(table, assigned).values())


def test_folds_are_equal_parts_and_validation_is_half_of_held_out():
    table = cases(30, 60)
    for assigned in folds(table, 3):
        assert grade_counts(table, assigned) == {
            "train": {"LGG": 14, "HGG": 28, "ungraded": 0},
            "val": {"LGG": 6, "HGG": 12, "ungraded": 0},
            "test": {"LGG": 10, "HGG": 20, "ungraded": 0},
        }


def test_one_fold_is_the_usual_split():
    table = cases(20, 20)
    assert (folds(table, 1)[0] == split_cases(table, 0.4, 0)).all()


def test_beside_phantoms_cases_of_one_grade_suffice_but_some_must_be_segmented():
    table = cases(0, 9)
    with pytest.raises(InputError, match="no LGG case in train"):
        split_cases(table, 0.4, 0)
    for options in ({}, {"fold": Fold(2, 3)}):
        assert set(split_cases(table, 0.4, 0, phantoms=True, **options)) == set(SPLITS)
    with pytest.raises(InputError, match="no segmented case in train"):
        split_cases(cases(9, 9, without_seg=1), 0.4, 0, phantoms=True)


def test_phantoms_change_no_split():
    table = cases(12, 20, per_patient=2)
    assert (split_cases(table, 0.4, 0, phantoms=True) == split_cases(table, 0.4, 0)).all()


def test_cases_of_a_split_in_the_order_of_the_index(tmp_path):
    table = cases(4, 4).iloc[::-1]
    path = tmp_path / "splits.csv"
    write_csv(path, table.assign(split=["val", *["train"] * 6, "test"])[["case", "split"]].sort_values("case"))
    assert cases_of(path, table, "val") == ["c007"]
    assert cases_of(path, table, "train") == ["c006", "c005", "c004", "c003", "c002", "c001"]


def test_split_table_of_other_cases(tmp_path):
    table = cases(4, 4)
    write_csv(tmp_path / "splits.csv", table.assign(split="train")[["case", "split"]].iloc[1:])
    with pytest.raises(InputError, match=r"splits\.csv: other cases than those ingested, 1 in all, for example 'c000'"):
        cases_of(tmp_path / "splits.csv", table, "train")


def test_patients_in_two_splits(tmp_path):
    table = cases(4, 4, per_patient=2)
    splits = table.assign(split="train")[["case", "split"]]
    check_no_shared_patients(table, splits)
    splits.loc[splits["case"].isin(["c001", "c005"]), "split"] = "test"
    with pytest.raises(
        InputError, match=r"^2 patient\(s\) in more .*:\n  - p0 in test and train\n  - p2 in test and tr"
    ):
        check_no_shared_patients(table, splits)
    write_csv(tmp_path / "splits.csv", splits)
    with pytest.raises(InputError, match=r"2 patient\(s\) in more than one split"):
        cases_of(tmp_path / "splits.csv", table, "val")
