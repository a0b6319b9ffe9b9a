import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, cohen_kappa_score, recall_score, roc_auc_score

from btlib.core.metrics import calibration
from btlib.core.metrics.resampling import exact_ci95, interval
from btlib.core.runtime.artifacts import write_csv
from btlib.core.runtime.errors import InputError
from btlib.volumes.evaluation.metrics import grade_scores
from btlib.volumes.evaluation.scores import grade_temperature, joint_metrics
from btlib.volumes.evaluation.tables import JointTables, read_grade_predictions, read_joint_tables, read_segmentation
from tests.core.metrics.oracle import ece
from tests.volumes.evaluation import joint_make

CONTRACT = (
    *("dice_wt", "dice_tc", "dice_et", "hd95_wt", "hd95_tc", "hd95_et"),
    *("grade_accuracy", "grade_auc", "grade_ece", "uncertainty_error_auroc"),
)


@pytest.fixture
def tables() -> JointTables:
    return JointTables(
        joint_make.predictions(9),
        joint_make.predictions(),
        joint_make.segmentation(),
        joint_make.voxel_errors(),
        joint_make.grade_uncertainty(),
    )


def metrics(tables: JointTables, resamples: int = 50) -> dict:
    return joint_metrics(tables, 15, resamples, np.random.default_rng(0))


def graded(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["grade"] != ""]


def test_the_grade_scores_match_scikit_learn(tables):
    test, found = graded(tables.test), metrics(tables)
    high, called = test["grade"] == "HGG", test["p_HGG"] > 0.5
    assert 0 < (high != called).sum() == found["grade_errors"]
    assert found["grade_accuracy"] == pytest.approx(accuracy_score(high, called))
    assert found["grade_auc"] == pytest.approx(roc_auc_score(high, test["p_HGG"]))
    assert found["grade_sensitivity"] == pytest.approx(recall_score(high, called))
    assert found["grade_specificity"] == pytest.approx(recall_score(high, called, pos_label=False))
    assert found["grade_kappa"] == pytest.approx(cohen_kappa_score(high, called))
    assert found["n_graded"] == 13 and found["n_test"] == 14 and found["n_patients"] == 13


def test_calibration_before_and_after_scaling_with_the_validation_temperature(tables):
    test, val, found = graded(tables.test), graded(tables.val), metrics(tables)
    columns, high = ["p_LGG", "p_HGG"], (test["grade"] == "HGG").to_numpy()
    truth = (val["grade"] == "HGG").to_numpy(int)
    temperature = calibration.fit_temperature(val[columns].to_numpy(), truth, val["patient"].to_numpy())
    assert found["temperature"] == temperature == grade_temperature(tables.val)
    for name, t in (("grade_ece", 1.0), ("grade_ece_temperature_scaled", temperature)):
        p = calibration.scale(test[columns].to_numpy(), t)
        assert found[name] == pytest.approx(ece(p.max(axis=1), p.argmax(axis=1) == high, 15))
    assert found["grade_ece"] != pytest.approx(found["grade_ece_temperature_scaled"])


def test_dice_and_hd95_are_means_over_segmented_cases_also_by_grade(tables):
    found, table = metrics(tables), tables.segmentation.set_index("region")
    grade = table["case"].map(dict(zip(joint_make.CASES, joint_make.GRADES, strict=True)))
    for region in ("wt", "tc", "et"):
        for measure in ("dice", "hd95"):
            values = table.loc[region, measure]
            assert found[f"{measure}_{region}"] == pytest.approx(values.mean())
            low_grade = values[(grade.loc[region] == "LGG").to_numpy()]
            assert found["by_grade"]["LGG"][f"{measure}_{region}"] == pytest.approx(low_grade.mean())
    assert found["n_segmented"] == 12 and [found["by_grade"][name]["n"] for name in ("LGG", "HGG")] == [4, 8]
    assert found["one_mask_empty"] == {"wt": 0, "tc": 0, "et": 1}


def test_error_detection_by_uncertainty_covers_the_voxels_of_all_cases(tables):
    rows = tables.voxel_errors[tables.voxel_errors["method"] == "mc_entropy"]
    truth, counts = np.repeat([0, 1], len(rows)), np.concatenate([rows["right"], rows["wrong"]])
    expected = roc_auc_score(truth, np.tile(rows["bin"], 2), sample_weight=counts)
    found = metrics(tables)
    assert found["uncertainty_error_auroc"] == pytest.approx(expected)
    assert [row["method"] for row in found["uncertainty"]] == ["softmax_entropy", "mc_entropy"]
    assert found["uncertainty"][1]["voxel_error_auroc"] == pytest.approx(expected)


def test_every_documented_score_has_an_interval_around_it(tables):
    found = metrics(tables, resamples=400)
    assert set(CONTRACT) < set(found["ci95"])
    for name in found["ci95"]:
        low, high = found["ci95"][name]
        assert low <= high
        if "ece" not in name:  # biased upwards in resamples
            assert low <= found[name] <= high and low < high, name
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_an_interval_by_hand(tables):
    """Percentiles of the mean Dice over the same resampled cases."""
    cohort = tables.cohort
    weights = cohort.weights(50, np.random.default_rng(0))
    rows = tables.segmentation[tables.segmentation["region"] == "wt"].set_index("case")["dice"]
    every = np.array([rows.get(case, 0.0) for case in cohort.cases])
    found, low_grade = metrics(tables), (cohort.grades == "LGG") & cohort.segmented
    for ci95, chosen in ((found["ci95"], cohort.segmented), (found["by_grade"]["LGG"]["ci95"], low_grade)):
        means = [np.repeat(every[chosen], row[chosen].astype(int)).mean() for row in weights[1:]]
        assert ci95["dice_wt"] == pytest.approx(interval(np.array(means)))


def test_resamples_keep_grades_and_draw_a_patients_cases_together(tables):
    cohort = tables.cohort
    weights = cohort.weights(300, np.random.default_rng(0))
    assert (weights[0] == 1).all() and weights.shape == (301, 14)
    assert (weights[:, 0] == weights[:, 1]).all() and (weights[:, 0] > 1).any()
    low_grade = cohort.grades == "LGG"
    assert (weights[:, low_grade & cohort.segmented].sum(axis=1) == 4).all()
    assert (weights[:, ~cohort.graded & ~cohort.segmented] == 1).all()  # the only one of its kind


def test_more_cases_of_the_same_patients_do_not_change_the_intervals(tables):
    def doubled(table):
        return pd.concat([table, table.assign(case=table["case"] + "b")], ignore_index=True)

    alone = tables._replace(test=tables.test.assign(patient=joint_make.CASES))
    twice = JointTables(alone.val, *(doubled(table) for table in alone[1:]))
    once, again = metrics(alone, 3000)["ci95"], metrics(twice, 3000)["ci95"]
    for name in ("dice_wt", "grade_auc", "grade_accuracy"):
        assert once[name] == pytest.approx(again[name], abs=0.03)


def test_exact_intervals_keep_their_width_without_errors(tables):
    high = tables.test["grade"] == "HGG"
    test = tables.test.assign(p_HGG=np.where(high, 0.9, 0.1), p_LGG=np.where(high, 0.1, 0.9))
    found = metrics(tables._replace(test=test))
    assert found["ci95"]["grade_accuracy"] == [1, 1] and found["grade_errors"] == 0
    assert found["grade_ci95_exact"]["grade_accuracy"] == exact_ci95(13, 13)
    assert found["grade_ci95_exact"]["grade_sensitivity"] == exact_ci95(8, 8)
    assert found["grade_ci95_exact"]["grade_specificity"] == exact_ci95(5, 5)


def test_with_only_one_grade_scores_that_need_both_are_null(tables):
    found = metrics(tables._replace(test=tables.test.assign(grade="HGG")))
    for name in ("grade_auc", "grade_kappa", "grade_specificity"):
        assert found[name] is None and found["ci95"][name] is None
    assert found["grade_sensitivity"] == found["grade_accuracy"] is not None
    assert found["grade_ci95_exact"]["grade_specificity"] is None
    assert found["by_grade"]["LGG"]["n"] == 0 and found["by_grade"]["LGG"]["dice_wt"] is None


def test_a_network_that_does_not_grade_has_no_grade_scores(tables):
    nothing = {"p_LGG": np.nan, "p_HGG": np.nan}
    found = metrics(tables._replace(val=tables.val.assign(**nothing), test=tables.test.assign(**nothing)))
    assert {found[name] for name in found if name.startswith("grade_") and name[6:] in ("accuracy", "auc", "ece")} == {
        None
    }
    assert found["temperature"] is None and found["n_graded"] == 0 and found["dice_wt"] is not None


def test_without_true_segmentations_and_grades_every_score_is_null(tables):
    unknown = tables.test.assign(grade="")
    bare = JointTables(tables.val, unknown, *(table.iloc[:0] for table in tables[2:]))
    found = metrics(bare)
    assert {found[name] for name in CONTRACT} == {None} and set(found["ci95"].values()) == {None}
    json.dumps(found, allow_nan=False)


def test_a_probability_of_one_half_is_not_high_grade():
    high, p = np.array([True, False]), np.array([0.5, 0.5])
    scores = grade_scores(high, p, 15, np.ones((1, 2)))
    assert scores["grade_sensitivity"] == 0 and scores["grade_specificity"] == 1 and scores["grade_auc"] == 0.5


def written(tables: JointTables, folder):
    for name, table in tables._asdict().items():
        write_csv(folder / f"{name}.csv", table)
    return folder


def test_tables_survive_a_round_trip(tables, tmp_path):
    again = read_joint_tables(written(tables, tmp_path))
    for table, other in zip(tables, again, strict=True):
        pd.testing.assert_frame_equal(table, other, check_dtype=False)
    assert metrics(again) == metrics(tables)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"p_HGG": 0.7}, "case 'case00': p_LGG and p_HGG do not sum to 1"),
        ({"p_HGG": 1.2, "p_LGG": -0.2}, r"case 'case00': p_HGG should be within 0 … 1, found 1.2"),
        ({"p_HGG": np.nan}, "case 'case00': a probability is empty"),
        ({"grade": "III"}, "case 'case00': grade should be LGG, HGG or empty, found 'III'"),
        ({"case": "case01"}, "case: case01 occurs more than once"),
    ],
)
def test_faulty_predictions_are_named(tables, tmp_path, change, message):
    table = tables.test.assign(p_LGG=0.4, p_HGG=0.6)
    table.loc[0, list(change)] = list(change.values())
    write_csv(tmp_path / "test.csv", table)
    with pytest.raises(InputError, match=message) as error:
        read_grade_predictions(tmp_path / "test.csv")
    assert "test.csv" in str(error.value) and "dvc repro" in str(error.value)


def test_a_missing_column_and_text_for_numbers_are_named(tables, tmp_path):
    write_csv(tmp_path / "a.csv", tables.test.drop(columns="p_LGG"))
    with pytest.raises(InputError, match=r"a.csv: missing columns \['p_LGG'\]"):
        read_grade_predictions(tmp_path / "a.csv")
    write_csv(tmp_path / "b.csv", tables.test.assign(p_LGG="many"))
    with pytest.raises(InputError, match="column p_LGG is not numeric"):
        read_grade_predictions(tmp_path / "b.csv")


def test_a_segmentation_table_that_does_not_match_is_refused(tables, tmp_path):
    path = tmp_path / "segmentation.csv"
    write_csv(path, tables.segmentation.drop(index=0))
    with pytest.raises(InputError, match="case 'case00': regions tc, et, expected wt, tc, et"):
        read_segmentation(path, joint_make.CASES)
    write_csv(path, tables.segmentation)
    with pytest.raises(InputError, match="case 'case11' is not among the test cases"):
        read_segmentation(path, joint_make.CASES[:11])
