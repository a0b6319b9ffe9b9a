import numpy as np
import pandas as pd
import pytest

from btlib.core.metrics.predictions import classes_in, groups_of, predictions_table, read_predictions
from btlib.core.runtime.artifacts import write_csv
from btlib.core.runtime.errors import InputError

CLASSES = ("glioma", "meningioma", "no_tumor", "pituitary")


def table() -> pd.DataFrame:
    probabilities = np.random.default_rng(0).dirichlet(np.ones(4), size=8)
    return predictions_table([f"00{n}" for n in range(8)], list(CLASSES) * 2, probabilities, CLASSES)


def read_back(tmp_path, broken: pd.DataFrame):
    write_csv(tmp_path / "test.csv", broken)
    return read_predictions(tmp_path / "test.csv", CLASSES)


def test_round_trip_keeps_every_digit_and_leading_zeros(tmp_path):
    written = table()
    read = read_back(tmp_path, written)
    assert list(read.image_ids) == list(written["image_id"])
    assert list(read.labels) == [0, 1, 2, 3] * 2
    np.testing.assert_array_equal(read.probabilities, written.filter(like="p_").to_numpy())


def test_columns_are_matched_by_name_not_by_position(tmp_path):
    written = table()
    read = read_back(tmp_path, written[["p_pituitary", "label", "p_no_tumor", "p_glioma", "image_id", "p_meningioma"]])
    np.testing.assert_array_equal(read.probabilities[:, 3], written["p_pituitary"])


def test_classes_and_groups_are_looked_up(tmp_path):
    assert classes_in(table().drop(columns="p_glioma")) == ["meningioma", "no_tumor", "pituitary"]
    write_csv(tmp_path / "manifest.csv", pd.DataFrame({"image_id": ["00", "01", "02"], "group": [5, 7, 5]}))
    assert groups_of(tmp_path / "manifest.csv", ["02", "01"]).tolist() == [5, 7]
    with pytest.raises(KeyError, match="03"):
        groups_of(tmp_path / "manifest.csv", ["03"])


def test_derived_columns(predictions):
    row = predictions.probabilities[5]
    assert predictions.confidence[5] == row.max()
    assert predictions.predicted[5] == list(row).index(row.max())
    assert predictions.correct[5] == (predictions.predicted[5] == predictions.labels[5])
    assert predictions.onehot[5].tolist() == [int(k == predictions.labels[5]) for k in range(4)]


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("p_glioma", np.nan, r"image_id '003': probabilities NaN or infinite"),
        ("p_glioma", np.inf, r"image_id '003': probabilities NaN or infinite"),
        ("p_glioma", -0.1, r"image_id '003': probabilities outside 0 … 1"),
        ("p_glioma", 1.0, r"image_id '003': probabilities not summing to 1"),
        ("label", "gliom", r"unknown label 'gliom'; the classes are glioma, meningioma"),
        ("image_id", "001", r"image_id '001' occurs more than once"),
    ],
)
def test_a_bad_cell_is_named(tmp_path, column, value, message):
    broken = table()
    broken.loc[3, column] = value
    with pytest.raises(InputError, match=message):
        read_back(tmp_path, broken)


def test_all_faults_are_named_at_once(tmp_path):
    broken = table()
    broken.loc[0, "label"] = "other"
    broken.loc[1, "p_glioma"] = np.nan
    with pytest.raises(InputError, match=r"(?s)unknown label 'other'.*'001': probabilities NaN"):
        read_back(tmp_path, broken)


def test_text_among_probabilities_is_refused(tmp_path):
    broken = table().astype({"p_glioma": object})
    broken.loc[0, "p_glioma"] = "high"
    with pytest.raises(InputError, match="column p_glioma is not numeric"):
        read_back(tmp_path, broken)


def test_a_class_without_images_is_refused(tmp_path):
    with pytest.raises(InputError, match="class 'pituitary' has no images"):
        read_back(tmp_path, table().query("label != 'pituitary'"))


def test_missing_and_unexpected_columns_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"missing columns \['p_glioma'\], unexpected columns \['p_gliom'\]"):
        read_back(tmp_path, table().rename(columns={"p_glioma": "p_gliom"}))


def test_float32_rows_are_accepted(tmp_path):
    probabilities = np.random.default_rng(0).dirichlet(np.ones(4), size=8).astype(np.float32)
    written = predictions_table([f"i{n}" for n in range(8)], list(CLASSES) * 2, probabilities, CLASSES)
    np.testing.assert_array_equal(read_back(tmp_path, written).probabilities.astype(np.float32), probabilities)
