"""The section on cross-validation."""

import pytest
from PIL import Image

from btlib.report.page import render
from btlib.report.sections.classification import classification_section
from btlib.report.sections.cross_validation import cross_validation_section, finding, fold_table, pooled_table
from tests.report.make import folds, metrics, study
from tests.report.test_report_scores import plain


def cells(table):
    return [[plain(cell) for cell in line] for line in table.rows]


def test_without_folds_it_says_how_to_run_them(tmp_path):
    (said,) = cross_validation_section(study(tmp_path)).blocks
    assert "set `split.folds: 5` in params.yaml and run `dvc repro cross_validate`" in said.text


def test_the_table_has_a_row_for_each_fold_then_mean_and_spread():
    table = fold_table(folds())
    first, second, mean = cells(table)
    assert first[:6] == ["fold 0", "50", "10", "5", "90.00 %", "0.900"]
    assert second[3:5] == ["10", "80.00 %"]
    assert mean[:5] == ["mean ± sd", "", "", "", "85.00 ± 7.07 %"]
    assert {len(first), len(mean)} == {len(table.columns)}
    assert table.marked == {2}


def test_known_patients_follow_the_pooled_accuracy():
    rows = cells(pooled_table(folds()))
    assert rows[0] == ["accuracy", "85.00 %", "[75.00, 95.00]"]
    assert rows[1] == ["accuracy, images of the 20 known patients", "80.00 %", "[70.00, 90.00]"]
    assert len(cells(pooled_table(folds() | {"known_patients": None}))) == len(rows) - 1


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ({}, "On the 80 images of 20 known patients it is 80.00 % [70.00, 90.00]; the patients of the others may"),
        ({"images": 100}, "The patient of every image is known (20 patients)."),
        (None, "patients may be on both sides of every fold"),
    ],
)
def test_the_finding_states_how_many_patients_are_known(known, said):
    found = folds()
    found["known_patients"] = None if known is None else found["known_patients"] | known
    words = plain(finding(found))
    assert words.startswith("15 of 100 images are wrong: accuracy 85.00 % [75.00, 95.00].")
    assert said in words


def test_the_section_with_its_figures(tmp_path):
    (tmp_path / "cross_validation").mkdir()
    for name in ("folds", "classification"):
        Image.new("RGB", (40, 30), "white").save(tmp_path / f"cross_validation/{name}.png")
    made = study(tmp_path, metrics=metrics() | {"cross_validation": folds()})
    section = cross_validation_section(made)
    assert "into 2 folds (leak-free: patients and near copies apart)" in section.blocks[0].text
    assert len(section.blocks[-1].items) == 2
    assert section.badge == "phantom data"
    assert "Cross-validation" in render([section], section.badge)


def test_scores_of_a_single_fold_are_labelled(tmp_path):
    params = study(tmp_path).params | {"split.folds": 5, "split.fold": 2}
    said = [
        block.text for block in classification_section(study(tmp_path, params=params)).blocks if block.kind == "text"
    ]
    assert "These scores are for fold 2 of 5" in said[0]
