"""What the page says of sets of other hospitals."""

import pytest
from PIL import Image

from btlib.report.page import render
from btlib.report.sections.external import external_section, verdict
from tests.report.make import study
from tests.report.test_report_scores import plain

NAMES = ("sensitivity", "specificity", "auc", "auc_within_patients", "accuracy", "macro_f1", "unsure", "unfamiliar")


def scores(within=0.8, ends=(0.7, 0.9), patients=20, **changes):
    values = dict.fromkeys(NAMES, 0.5) | {"auc_within_patients": within} | changes
    ci95 = {name: None if value is None else [0.4, 0.6] for name, value in values.items()}
    ci95["auc_within_patients"] = list(ends) if ends else None
    undefined = {name: "no patient is known" for name, value in values.items() if value is None}
    counts = {"n": 50, "n_tumour": 20, "n_none": 30, "patients": 25, "patients_with_both": patients}
    return {**counts, **values, "ci95": ci95, "undefined": undefined}


def section(tmp_path, sets):
    made = study(tmp_path)
    pictures = made.pictures | {"external": tmp_path / "external"}
    return external_section(study(tmp_path, metrics=made.metrics | {"external": {"sets": sets}}, pictures=pictures))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "is 0.800 [0.700, 0.900], above chance: between a patient's own slices"),
        ({"ends": (0.5, 0.9)}, "not told from chance"),
        ({"within": 0.3, "ends": (0.2, 0.4)}, "below chance"),
        ({"patients": 5}, "only 5 patients have slices of both kinds: too few to tell it from chance"),
        ({"patients": 1, "ends": None}, "is 0.800, but 1 patient has slices"),
        ({"within": None, "ends": None, "patients": 0}, "is undefined: no patient is known."),
    ],
)
def test_is_the_auc_within_patients_above_chance(given, said):
    assert said in plain(verdict(scores(**given)))


def test_a_row_for_each_set_with_estimates_intervals_and_what_is_undefined(tmp_path):
    sets = {"first_one": scores(), "other": scores(within=None, ends=None, patients=0, accuracy=None, macro_f1=None)}
    made = section(tmp_path, sets)
    bullets, table, classes = made.blocks
    assert made.badge == "phantom data"
    assert plain(bullets.items[0]).startswith("first one: the AUC within patients is 0.800")
    row = [plain(cell) for cell in table.rows[0]]
    assert row[:4] == ["first one", "20 + 30", "25", "50.0 % [40.0, 60.0]"]
    assert row[5:7] == ["0.500 [0.400, 0.600]", "0.800 [0.700, 0.900]"]
    assert len(row) == len(table.columns)
    assert plain(table.rows[1][6]) == "–"
    assert "scanner, framing or head" in table.note
    assert "other, AUC within patients: no patient is known." in table.note
    assert "accuracy" not in table.note
    assert [plain(row[0]) for row in classes.rows] == ["first one"]


def test_figures_that_are_there_are_shown(tmp_path):
    (tmp_path / "external").mkdir()
    for name in ("external.png", "elsewhere_worst.png", "earlier_worst.png"):
        Image.new("RGB", (40, 30), "white").save(tmp_path / "external" / name)
    made = section(tmp_path, {"elsewhere": scores()})
    assert [figure.caption.split(":")[0] for figure in made.blocks[-1].items] == [
        "ROC curve of each set over all images, and the AUC of every patient who has slices with and without tumour, "
        "sorted",
        "elsewhere",
    ]
    assert "Other hospitals" in render([made], made.badge)


def test_without_sets_it_says_how_to_add_one(tmp_path):
    (said,) = section(tmp_path, {}).blocks
    assert "list it under `external` in params.yaml" in said.text
