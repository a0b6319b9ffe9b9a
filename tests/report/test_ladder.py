"""The accuracy on each rung, in words, in a table and in a chart."""

import pytest

from btlib.core.runtime.artifacts import read_json
from btlib.report.ladder import Climb, Estimate, recorded_climbs, rung_words, this_climb
from btlib.report.ladder_figure import ladder_figure
from btlib.report.page import render
from btlib.report.sections.ladder import BADGE, ladder_section, ladder_table, place_words, sentence
from tests.report.make import ROOT, edited, external_scores, folds, metrics, study
from tests.report.test_report_scores import plain


def record(title="A recipe", rung="image", accuracy=0.99, ends=(0.98, 1.0), **changes):
    made = {"title": title, "rung": rung, "split_by": "image" if rung == "image" else "group", "date": "2026-01-01"}
    return made | {"n_test": 100, "scores": {"accuracy": accuracy}, "ci95": {"accuracy": list(ends)}} | changes


KNOWN = {"images": 60, "patients": 9, "errors": 5, "accuracy": 0.91, "ci95": {"accuracy": [0.9, 0.92]}}
FAR = {"far_away": external_scores(within=0.44, ends=(0.37, 0.51))}
BY_PATIENT = record(rung="patient", accuracy=0.94, ends=(0.92, 0.96), known_patients=KNOWN, external=FAR)
RECORDS = [record(), record(rung="near_copy", accuracy=0.98, ends=(0.97, 0.99)), BY_PATIENT]


def cells(table):
    return [[plain(cell) for cell in line] for line in table.rows]


def test_a_recipe_as_a_sentence():
    (climb,) = recorded_climbs(RECORDS)
    assert plain(sentence(climb)) == (
        "A recipe: accuracy 99.00 % by image, 98.00 % with near copies apart, 94.00 % when no known patient is on both "
        "sides, 91.00 % when only images of known patients count. On slices from other hospitals, its AUC within "
        "patients is 0.440 on far away (not distinguishable from chance)."
    )


@pytest.mark.parametrize(
    ("ends", "patients", "said"),
    [((0.6, 0.9), 40, "above chance"), ((0.2, 0.4), 40, "below chance"), ((0.6, 0.9), 5, "too few patients")],
)
def test_chance_is_one_half(ends, patients, said):
    scores = external_scores(within=0.5, ends=ends, patients=patients)
    assert f"({said})" in sentence(Climb("A", {}, {"far": scores}))
    del scores["patients_with_both"]  # records may lack it
    assert f"({said})" in sentence(Climb("A", {}, {"far": scores | {"patients": patients}}))


def test_an_undefined_auc_is_omitted_from_the_sentence_and_a_dash_in_the_table():
    climb = Climb("A", {"image": Estimate(0.9, (0.8, 1.0))}, {"far": external_scores(within=None, ends=None)})
    assert "hospitals" not in sentence(climb)
    assert cells(ladder_table("", [climb], ""))[0][-1] == "–"
    ladder_figure([climb], 0.95)


def test_old_records_get_a_rung_from_their_split():
    old = [{key: value for key, value in run.items() if key != "rung"} for run in RECORDS[:2]]
    (climb,) = recorded_climbs([*old, {**old[0], "split_by": "folder"}])
    assert list(climb.steps) == ["image", "near_copy"]
    assert rung_words(old[1]) == "near copies apart, patients ignored"
    assert rung_words({**old[0], "split_by": "folder"}) == "split by folder"


def test_the_later_of_two_records_counts_and_recipes_with_more_rungs_come_first():
    again = record(accuracy=0.5, date="2026-02-01")
    climbs = recorded_climbs([record("B"), again, *RECORDS])
    assert [climb.title for climb in climbs] == ["A recipe", "B"]
    assert climbs[0].steps["image"].value == 0.5


def test_known_patients_are_not_a_separate_step_if_all_are_known():
    (climb,) = recorded_climbs([record(rung="patient", known_patients=KNOWN | {"images": 100}, external=None)])
    assert list(climb.steps) == ["patient"]


def test_the_table_has_a_row_for_each_recipe_below_the_paper():
    table = ladder_table("", recorded_climbs([*RECORDS, record("B")]), BADGE, paper=0.9573)
    paper, first, second = cells(table)
    assert paper == ["the paper", "95.73 %", "–", "–", "–", "–"]
    assert first == [
        "A recipe", "99.00 %\n[98.00, 100.00]", "98.00 %\n[97.00, 99.00]", "94.00 %\n[92.00, 96.00]",
        "91.00 %\n[90.00, 92.00]", "0.440\n[0.370, 0.510]",
    ]  # fmt: skip
    assert second == ["B", "99.00 %\n[98.00, 100.00]", "–", "–", "–", "–"]
    assert table.columns[-1] == "AUC within patients, far away"


def test_the_chart_has_a_dot_in_each_row_and_a_line_at_chance():
    figure = ladder_figure(recorded_climbs([*RECORDS, record("B")]), 0.9573)
    left, right = figure.axes
    dots = {line.get_label(): line.get_xdata() for line in left.lines}
    assert list(dots["A recipe"]) == [0.99, 0.98, 0.94, 0.91]
    assert list(dots["B"]) == [0.99]
    assert list(dots["the paper"]) == [0.9573]
    places = {label: line.get_ydata() for label, line in zip(dots, left.lines, strict=True)}
    assert [round(place) for place in places["A recipe"]] == [0, 1, 2, 3]
    assert places["A recipe"][0] != places["B"][0]  # neither hides the other
    assert [label.get_text() for label in right.get_yticklabels()] == ["far away"]
    assert any(list(line.get_xdata()) == [0.5, 0.5] for line in right.lines)
    assert len(ladder_figure(recorded_climbs(RECORDS[:1]), 0.9573).axes) == 1  # no set, no panel


def test_this_run_is_placed_and_labelled(tmp_path):
    made = study(tmp_path, recorded=RECORDS)
    section = ladder_section(made)
    *_, figures, _, words, said, own = section.blocks
    place = "is split by group and is on the rung “patients apart where known”. Leak-free"
    assert f"This run (phantom data) {place}" in words.text
    assert "0.800 on phantom elsewhere (above chance)" in plain(said.text)
    assert own.badge == "phantom data"
    assert [block.badge for block in section.blocks[2:4]] == [BADGE, BADGE]
    assert "This run:" not in figures.items[0].alt  # phantoms are not compared with patients
    assert "The ladder" in render([section], "")


def test_runs_on_real_images_are_in_the_chart_too(tmp_path):
    figures = ladder_section(study(tmp_path, recorded=RECORDS, notes={"images": "", "volumes": ""})).blocks[3]
    assert "This run:" in figures.items[0].alt
    assert figures.badge == "real images"


@pytest.mark.parametrize(
    ("kind", "said"),
    [("image", "is on the rung “by image”. Leaks: 2 of 66"), ("folder", "is on no rung. Leaks: 3 of 66")],
)
def test_splits_that_leak(tmp_path, kind, said):
    params = study(tmp_path).params | {"split_by": kind}
    leaks = metrics()["audit"]["leaks_by_split"]
    leaks["folder"] = leaks["image"] | {"near_copy_any_orientation": 3}
    made = study(tmp_path, params=params, metrics=edited(metrics(), "audit", leaks_by_split=leaks), recorded=[])
    assert said in place_words(made)
    assert list(this_climb(made).steps) == ["image" if kind == "image" else "split by folder"]
    table = ladder_section(made).blocks[-1]
    assert table.columns[1] == ("accuracy, by image" if kind == "image" else "accuracy, split by folder")


def test_with_folds_all_of_them_are_pooled(tmp_path):
    made = study(tmp_path, metrics=metrics() | {"cross_validation": folds()})
    assert {step: found.value for step, found in this_climb(made).steps.items()} == {"patient": 0.85, "known": 0.8}


def test_without_records_the_page_has_only_this_run(tmp_path):
    section = ladder_section(study(tmp_path, recorded=[]))
    assert [block.kind for block in section.blocks] == ["text", "text", "heading", "text", "text", "table"]


def test_the_recorded_runs_of_this_repository_form_a_ladder():
    climbs = recorded_climbs([read_json(path) for path in sorted((ROOT / "docs/runs").glob("*.json"))])
    assert climbs
    for climb in climbs:
        assert all(found.ends[0] <= found.value <= found.ends[1] for found in climb.steps.values())
        assert sentence(climb).startswith(climb.title)
