"""The section on sets from other hospitals."""

import pytest
from PIL import Image

from btlib.report.page import render
from btlib.report.sections.external import external_section, verdict
from tests.report.make import external_scores as scores
from tests.report.make import metrics, study
from tests.report.test_report_scores import plain


def section(tmp_path, sets):
    return external_section(study(tmp_path, metrics=metrics() | {"external": {"sets": sets}}))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "is 0.800 [0.700, 0.900], above chance: among a patient's own slices"),
        ({"ends": (0.5, 0.9)}, "not distinguishable from chance"),
        ({"within": 0.3, "ends": (0.2, 0.4)}, "below chance"),
        ({"patients": 5}, "only 5 patients have slices of both kinds: too few for a comparison"),
        ({"patients": 1, "ends": None}, "is 0.800, but 1 patient has slices"),
        ({"within": None, "ends": None, "patients": 0}, "is undefined: no patient is known."),
    ],
)
def test_the_auc_within_patients_is_compared_with_chance(given, said):
    assert said in plain(verdict(scores(**given)))


def test_the_table_has_estimates_intervals_and_undefined_scores_of_each_set(tmp_path):
    sets = {"first_one": scores(), "other": scores(within=None, ends=None, patients=0, accuracy=None, macro_f1=None)}
    made = section(tmp_path, sets)
    bullets, table, classes, _ = made.blocks
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


def test_existing_figures_are_shown(tmp_path):
    (tmp_path / "external").mkdir()
    for name in ("elsewhere_worst.png", "earlier_worst.png"):
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


def arm(name, within, difference, seeds=2):
    """A row of `arms` in metrics/external.json."""
    values = {"sensitivity": 0.9, "specificity": 0.25, "auc": 0.6, "auc_within_patients": within}
    ci95 = {key: None if value is None else [value - 0.1, value + 0.1] for key, value in values.items()}
    return {"arm": name, "seeds": list(range(seeds)), **values, "ci95": ci95, "difference": difference}


def test_the_arms_of_a_set_are_compared_with_the_proposed_one(tmp_path):
    lost = {"value": -0.15, "ci95": [-0.2, -0.1]}
    arms = [arm("proposed", 0.8, None), arm("no_phantoms", 0.65, lost), arm("untied", 0.7, lost | {"ci95": None}, 1)]
    made = section(tmp_path, {"elsewhere": scores() | {"arms": arms}, "other": scores()})
    (table,) = [block for block in made.blocks if "each part" in getattr(block, "caption", "")]
    assert table.caption == "What each part of the lesion head gains on elsewhere"
    assert table.columns == (
        *("arm", "seeds", "AUC within patients", "difference [95 %]", "AUC", "sensitivity", "specificity"),
    )
    assert [[plain(cell) for cell in row] for row in table.rows] == [
        ["proposed", "2", "0.800 [0.700, 0.900]", "–", "0.600", "90.0 %", "25.0 %"],
        ["no phantoms", "2", "0.650 [0.550, 0.750]", "−0.150 [−0.200, −0.100]", "0.600", "90.0 %", "25.0 %"],
        ["untied", "1", "0.700 [0.600, 0.800]", "−0.150", "0.600", "90.0 %", "25.0 %"],
    ]
    assert "not calibrated" in table.note and "`ablations` in params.yaml" in table.note
    assert "no phantoms" in render([made], made.badge)


def test_undefined_scores_of_arms_are_dashes(tmp_path):
    made = section(
        tmp_path, {"elsewhere": scores() | {"arms": [arm("proposed", None, None), arm("untied", None, None)]}}
    )
    (table,) = [block for block in made.blocks if "each part" in getattr(block, "caption", "")]
    assert [plain(cell) for cell in table.rows[1][2:4]] == ["–", "–"]
