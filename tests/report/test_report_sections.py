"""The content of the sections, on hand-computed scores."""

import pytest
from PIL import Image

from btlib.core.runtime.artifacts import read_json
from btlib.images.data.classes import CLASSES
from btlib.report.figures.paper import CLASS_COUNTS, HEADLINE, SETTINGS, SETTINGS_IN_TEXT
from btlib.report.scores import SCORES
from btlib.report.sections.ablations import finding, score_table
from btlib.report.sections.audit import audit_section, leak_table, split_rows, volumes_section
from btlib.report.sections.card import limits
from btlib.report.sections.classification import class_table, headline_table, settings_table
from btlib.report.sections.gradcam import finding as heat_finding
from btlib.report.sections.gradcam import fused, gradcam_section, heat_tables, outline_blocks
from btlib.report.sections.joint import _volumes, arm_table, difference_table, joint_section
from btlib.report.sections.joint import headline_table as joint_headline
from btlib.report.sections.postprocessing import postprocessing_tables
from btlib.report.sections.recorded import accuracy_table, external_tables, recorded_section
from btlib.report.sections.recorded import heat_tables as recorded_heat
from btlib.report.sections.recorded import score_table as recorded_scores
from btlib.report.sections.run import run_section, written
from btlib.report.sections.summary import summary_section
from tests.report.make import ROOT, edited, external_scores, leaks, study
from tests.report.test_report_scores import plain


def row(arm, mean, ends=(0.8, 0.9), p=None, failed=()):
    scores = dict.fromkeys(("accuracy", "macro_f1", "roc_auc_macro", "ece"))
    tests = (
        None
        if p is None
        else {"paired_t": {"p_holm": 0.5}, "corrected_paired_t": {"p_holm": p}, "mcnemar": {"p_holm": None}}
    )
    return {
        "arm": arm,
        "seeds": [{"seed": 0}, *({"seed": seed, "failed": "diverged"} for seed in failed)],
        "mean": scores | {"accuracy": mean},
        "sd": scores,
        "ci95": scores | {"accuracy": None if mean is None else list(ends)},
        "tests": tests,
        "p_value": p,
    }


PAPER = {"proposed": {"accuracy": 0.95}, "gated": {"accuracy": 0.94}, "vgg19": {"accuracy": 0.92}, "extra": None}


def cells(table):
    return [[plain(cell) for cell in line] for line in table.rows]


def test_an_ablation_row_is_beside_the_papers_number():
    table = score_table("Table 4", "accuracy", [row("proposed", 0.85), row("gated", 0.90, p=0.03)], PAPER, folded=False)
    assert cells(table) == [
        ["proposed", "1", "85.00 %", "[80.00, 90.00]", "95.00 %", "−10.00 [−15.00, −5.00]", "–", "–", "–"],
        ["gated", "1", "90.00 %", "[80.00, 90.00]", "94.00 %", "−4.00 [−14.00, −4.00]", "0.500", "0.030", "–"],
        ["vgg19", "–", "not run", "–", "92.00 %", "–", "–", "–", "–"],
    ]
    assert len(table.columns) == len(table.rows[0])


def test_an_arm_whose_seeds_failed_has_no_scores():
    (line,) = cells(score_table("Table 4", "accuracy", [row("odd", None, failed=(1,))], {}, folded=False))
    assert line == ["odd", "2, 1 failed", "–", "–", "–", "–", "–", "–", "–"]


def test_only_the_table_of_accuracy_holds_tests():
    table = score_table("Table 4", "ece", [row("proposed", 0.85)], PAPER, folded=True)
    assert "p, McNemar" not in table.columns
    assert cells(table) == [["proposed", "1", "–", "–", "–", "–"]]


def test_the_finding_ranks_the_proposed_model_and_names_the_smallest_p():
    rows = [row("proposed", 0.85), row("gated", 0.90, p=0.03), row("none", 0.80, p=0.5)]
    said = finding(rows)
    assert "number 2 of 3" in said
    assert "at least one differs" in said
    assert "0.030 (gated)" in said
    assert "none differs" in finding([row("proposed", 0.85), row("gated", 0.9, p=0.05)])
    assert "undefined for every arm" in finding([row("proposed", 0.85), row("gated", 0.9)])
    assert finding([]) == "Not run here: only the paper's numbers are shown."


def test_headline_scores_beside_the_papers():
    names = [name for name in SCORES if "temperature" not in name]
    found = dict.fromkeys(names, 0.5) | {"ci95": {name: [0.4, 0.6] for name in names}}
    found |= {"accuracy_ci95_exact": [0.3, 0.7], "errors": 4, "n_test": 8, "n_groups": 6}
    table = headline_table(found, HEADLINE)
    lines = {line[0]: line[1:] for line in cells(table)}
    assert lines["accuracy ↑"] == ["50.00 %", "[40.00, 60.00]", "95.73 %", "−45.73 [−55.73, −35.73]"]
    assert lines["Cohen's kappa ↑"] == ["0.5000", "[0.4000, 0.6000]", "0.9415", "−0.4415 [−0.5415, −0.3415]"]
    assert lines["log loss ↓"][2:] == ["–", "–"]
    assert plain(table.note).startswith("4 of 8 test images wrong. The bootstrap draws images in 6 groups.")


def test_a_class_is_beside_the_values_in_the_papers_text():
    scores = {"precision": 0.5, "recall": 0.9, "f1": 0.6, "roc_auc": 0.8, "ap": 0.7, "support": 10}
    (line,) = cells(class_table({"no_tumor": scores}))
    assert line == [
        "no tumor", "10", "50.00 %", "90.00 %\npaper 97.00 %\n−7.00", "0.600",
        "0.8000\npaper 0.9994\n−0.1994", "0.700\npaper 0.999\n−0.299",
    ]  # fmt: skip


def test_settings_that_differ_from_table_3_are_marked():
    table = settings_table(SETTINGS | SETTINGS_IN_TEXT)
    assert table.marked == frozenset()
    changed = SETTINGS | SETTINGS_IN_TEXT | {"batch_size": 16, "split_by": "group"}
    table = settings_table(changed)
    assert [table.rows[number][:4] for number in sorted(table.marked)] == [
        ("batch_size", "32", "16", "differs"),
        ("split_by", "image", "group", "differs"),
    ]
    assert "2 of 19 differ" in table.caption


def test_the_papers_class_counts_add_up_to_its_totals():
    assert [sum(CLASS_COUNTS[part].values()) for part in ("train", "val", "test")] == [5618, 702, 703]
    assert sum(CLASS_COUNTS[part]["no_tumor"] for part in CLASS_COUNTS) == 2000


def test_split_counts_beside_table_2():
    ours = {part: dict.fromkeys(CLASSES, number) for part, number in (("train", 1300), ("val", 160), ("test", 170))}
    rows = split_rows(ours)
    assert rows[0] == ("glioma", "1,300", "1,297", "160", "162", "170", "162", "1,630", "1,621", "+9")
    assert rows[-1] == ("all", "5,200", "5,618", "640", "702", "680", "703", "6,520", "7,023", "−503")


def leak_audit(**changes):
    made = {
        "image": leaks(702, 182, 455, 470, 474, 474),
        "folder": None,
        "near_copy": leaks(702, 0, 0, 300, 480, 480),
        "group": leaks(702, 0, 0, 0, 0, 475),
        "file": None,
    }
    counts = {"images": 7011, "images_without_patient": 2269, "linked_images": 4742, "patients": 209}
    return counts | {"leaks_by_split": made} | changes


def test_leaks_of_every_way_of_splitting():
    table = leak_table(leak_audit(), "image")
    image, near_copy, group = cells(table)
    assert image[1:7] == ["702", "182 (25.9 %)", "455 (64.8 %)", "470 (67.0 %)", "474 (67.5 %)", "474 (67.5 %)"]
    assert near_copy[0].startswith("near copies apart, patients ignored")
    assert near_copy[5:7] == ["480 (68.4 %)", "480 (68.4 %)"]
    assert group[2:6] == ["0 (0.0 %)"] * 4
    assert len(group) == len(table.columns)
    assert table.marked == {0}
    assert "Not possible here: split by folder." in table.note
    assert "fold" not in table.note.replace("folder", "")


def test_leaks_of_the_users_own_table_and_of_one_fold():
    made = leak_audit()["leaks_by_split"] | {"file": leaks(70, 7, 7, 0, 0, 70)}
    table = leak_table(leak_audit(leaks_by_split=made), "file", folds=5)
    assert cells(table)[3][:3] == ["file (your own table)", "70", "7 (10.0 %)"]
    assert table.marked == {3}
    assert "one of 5" in table.note


def test_unknown_patients_do_not_look_like_an_absence_of_leaks():
    table = leak_table(leak_audit(images_without_patient=7011, linked_images=0), "group")
    assert all(line[4:7] == ["–", "–", "–"] for line in cells(table))
    assert "patients may be on both sides of every split" in table.note


def test_the_audit_counts_patients_and_links_and_shows_the_link_figure(tmp_path):
    path = tmp_path / "link/links.png"
    path.parent.mkdir()
    Image.new("RGB", (40, 30), "white").save(path)
    made = study(tmp_path)
    made = study(tmp_path, metrics=made.metrics | {"audit": made.metrics["audit"] | leak_audit()})
    said, counts, _, links, *_ = audit_section(made).blocks
    assert said.text.endswith("patients apart where known (4,742 of 7,011 images).")
    found = dict(cells(counts))
    assert found["images whose patient is unknown"] == "2,269"
    assert found["images linked to a slice of the reference set"] == "4,742"
    assert links.items[0].caption.startswith("Each image's best match in the reference set")


OTHERS = ("macro_f1", "roc_auc_macro", "ece", "kappa", "mcc")
RUN = {
    "title": "A recipe",
    "profile": "p",
    "date": "2026-01-01",
    "split_by": "image",
    "image_size": 96,
    "n_test": 100,
    "errors": 6,
    "scores": {"accuracy": 0.94, "macro_f1": 0.9, "roc_auc_macro": 0.99, "ece": 0.05, "kappa": 0.92, "mcc": 0.92},
    "ci95": {"accuracy": [0.92, 0.96], **{name: [0.8, 1.0] for name in OTHERS}},
    "contamination": {"upright": 0.26, "any_orientation": 0.65},
}
BY_GROUP = RUN | {"split_by": "group", "contamination": {"upright": 0.0, "any_orientation": 0.0}}
BY_PATIENT = BY_GROUP | {
    "rung": "patient",
    "folds": 5,
    "known_patients": {"images": 60, "patients": 9, "errors": 6, "accuracy": 0.9, "ci95": {"accuracy": [0.8, 1.0]}},
    "external": {"far_away": external_scores()},
    "gradcam": {
        "map": "a_map",
        "n": 90,
        "pointing_hit": 0.15,
        "heat_share": 0.07,
        "lesion_share": 0.02,
        "heat_over_uniform": 3.9,
        "ci95": dict.fromkeys(("pointing_hit", "heat_share", "lesion_share", "heat_over_uniform"), (0, 1)),
    },
}


def test_recorded_runs_are_beside_the_paper_and_labelled_as_other_runs():
    table = accuracy_table([RUN, BY_GROUP, BY_PATIENT], HEADLINE)
    paper, image, group, patient = cells(table)
    assert paper[1] == "by image"
    assert image == [
        "A recipe", "by image", "96", "65.0 %", "6 of 100", "94.00 % [92.00, 96.00]", "−1.73 [−3.73, +0.27]", "–"
    ]  # fmt: skip
    assert group[1] == "near copies apart, patients ignored"
    assert patient[1] == "near copies apart; patients apart where known (60 of 100 images)"
    assert patient[-1] == "90.00 % [80.00, 100.00]"
    assert table.marked == {3}
    assert "(5 folds)" in table.note
    assert table.badge == recorded_scores([RUN], HEADLINE).badge == "real images, other runs"
    others = recorded_scores([RUN], HEADLINE)
    kappa = others.columns.index("Cohen's kappa")
    assert cells(others)[1][kappa] == "0.9200 [0.8000, 1.0000]\n−0.0215 [−0.1415, +0.0585]"


def test_recorded_heat_maps_and_sets_from_other_hospitals():
    (outside,) = external_tables([RUN, BY_PATIENT])
    (line,) = cells(outside)
    assert line[:5] == ["A recipe", "far away", "50", "25", "50.0 % [40.0, 60.0]"]
    assert len(line) == len(outside.columns)
    (maps,) = recorded_heat([BY_GROUP, BY_PATIENT | {"external": None}])
    assert cells(maps)[0][:3] == ["A recipe", "a map", "90"]
    assert external_tables([RUN]) == recorded_heat([RUN]) == []


def test_recorded_runs_are_sorted_by_rung(tmp_path):
    runs = [run | {"data": "d", "command": "c", "device": "x", "note": ""} for run in (BY_PATIENT, BY_GROUP, RUN)]
    other = runs[1] | {"split_by": "folder"}
    section = recorded_section(study(tmp_path, recorded=[other, *runs]))
    assert section.title == "Recorded runs on real images"
    assert [line[1] for line in section.blocks[1].rows[1:]] == [
        "by image",
        "near copies apart, patients ignored",
        "near copies apart; patients apart where known (60 of 100 images)",
        "split by folder",
    ]


@pytest.mark.parametrize("path", sorted((ROOT / "docs/runs").glob("*.json")), ids=lambda path: path.stem)
def test_each_recorded_run_is_consistent(path):
    run = read_json(path)
    assert run["scores"]["accuracy"] == pytest.approx(1 - run["errors"] / run["n_test"])
    assert run["scores"].keys() == run["ci95"].keys()
    assert all(low < high for low, high in run["ci95"].values())
    assert (ROOT / run["profile"]).is_file()
    assert run["profile"] in run["command"]
    assert (run["contamination"]["any_orientation"] == 0) is (run["split_by"] == "group")
    assert run["rung"] in {"image": ("image",), "group": ("near_copy", "patient")}[run["split_by"]]
    parts = [run.get("known_patients"), run.get("gradcam"), *(run.get("external") or {}).values()]
    for part in filter(None, parts):
        assert all(low <= part[name] <= high for name, (low, high) in part["ci95"].items())
    if run["rung"] == "patient":
        known = run["known_patients"]
        assert known["accuracy"] == pytest.approx(1 - known["errors"] / known["images"])


def heat(ratio, ends):
    shares = {"pointing_hit": 0.5, "heat_share": 0.1, "lesion_share": 0.05}
    return {
        "n": 9,
        **shares,
        "heat_over_uniform": ratio,
        "ci95": {**dict.fromkeys(shares, (0, 1)), "heat_over_uniform": ends},
    }


@pytest.mark.parametrize(
    ("ends", "verdict"),
    [([1.1, 3], ", more than the"), ([0.2, 0.9], ", less than the"), ([0.5, 2], "not significantly different from")],
)
def test_heat_is_compared_with_a_uniform_map(ends, verdict):
    found = {"n_with_mask": 9, "maps": {"a": {"all": heat(9, [8, 10])}, "fused": {"all": heat(2, ends)}}}
    assert verdict in heat_finding(found)
    (table,) = heat_tables(found)
    assert cells(table)[1] == ["fused", "all", "9", "50.0 % [0.0, 100.0]", "10.0 % [0.0, 100.0]", "5.0 % [0.0, 100.0]",
                               f"2.00 [{ends[0]:.2f}, {ends[1]:.2f}]"]  # fmt: skip


def outlines(**changes):
    """Scores of a lesion map, as in data/tables/gradcam.csv."""
    dice = {"dice": 0.7, "dice_median": 0.8, "ci95": {"dice": [0.6, 0.75], "dice_median": [0.7, 0.9]}}
    whole = {
        "n": 9,
        "n_without": 16,
        **dice,
        "false_outlines": 0.25,
        "ci95": dice["ci95"] | {"false_outlines": [0.125, 0.5]},
        "false_outlines_ci95_exact": [0.07, 0.52],
    }
    return {
        "n_with_mask": 9,
        "maps": {"a": {"all": heat(2, [1, 3])}, "lesion_map": {"all": heat(9, [8, 10])}},
        "lesion_outline": {"all": whole | changes, "glioma": {"n": 9, **dice}},
    }


def test_outlines_of_the_lesion_map():
    text, table = outline_blocks(outlines())
    assert plain(text.text) == (
        "What the lesion map outlines (probability ≥ 0.5) overlaps the lesion with a mean Dice of 0.700 [0.600, 0.750] "
        "in 9 slices; its highest point is in the lesion in 50.0 % [0.0, 100.0] of them. It was trained on outlines, "
        "which heat maps are not. The lesion map outlines something in 25.0 % [12.5, 50.0] of 16 slices without a "
        "tumour (exact interval [7.0, 52.0])."
    )
    assert table.columns == ("of", "n", "Dice", "median Dice")
    assert cells(table) == [
        ["all", "9", "0.700 [0.600, 0.750]", "0.800 [0.700, 0.900]"],
        ["glioma", "9", "0.700 [0.600, 0.750]", "0.800 [0.700, 0.900]"],
    ]
    (maps,) = heat_tables(outlines())
    assert [line[0] for line in cells(maps)] == ["a", "lesion map"]
    assert maps.note.endswith("The heat of the lesion map is its probability.")


def test_outlines_without_masks_or_without_healthy_slices():
    nothing = dict.fromkeys(("dice", "dice_median"))
    parts = outlines(n=0, **nothing)
    del parts["lesion_outline"]["glioma"]
    (text,) = outline_blocks(parts)
    assert text.text.startswith("The lesion map outlines something")
    text, _ = outline_blocks(outlines(n_without=0, false_outlines=None))
    assert "without a tumour" not in text.text
    parts["lesion_outline"]["all"]["n_without"] = 0
    assert outline_blocks(parts) == []


def test_the_verdict_on_heat_is_that_of_grad_cam():
    """Even where the lesion map is the first of the maps, as in sorted JSON."""
    maps = {"lesion_map": {"all": heat(9, [8, 10])}, "net": {"all": heat(2, [1.1, 3])}}
    assert fused(maps) == ("net", maps["net"]["all"])


def test_the_section_of_a_network_without_a_lesion_head_is_as_before(tmp_path):
    made = study(tmp_path)
    without = {name: part for name, part in made.scores("gradcam").items() if name != "lesion_outline"}
    without["maps"] = {name: part for name, part in without["maps"].items() if name != "lesion_map"}
    section = gradcam_section(study(tmp_path, metrics=made.metrics | {"gradcam": without}))
    assert "lesion map" not in str(section)
    section = gradcam_section(study(tmp_path, metrics=made.metrics | {"gradcam": outlines()}))
    assert "Outlines of the lesion map against lesion masks" in str(section) and "A dashed line" in str(section)


def test_arms_of_the_joint_network():
    names = ("dice_wt", "dice_tc", "dice_et", "grade_accuracy", "grade_auc", "grade_ece")
    change = {name: {"value": -0.2, "ci95": [-0.3, -0.1], "p_holm": 0.01} for name in names}
    change |= {
        "grade_auc": {"value": None, "ci95": None, "p_holm": None},
        "grade_ece": {"value": 0.1, "ci95": [0, 0.2]},
    }
    full = {"arm": "full", "seeds": [1, 2], "difference": None}
    full |= {key: dict.fromkeys(names, value) for key, value in (("mean", 0.7), ("sd", 0.01), ("ci95", [0.6, 0.8]))}
    rows = [full, full | {"arm": "no_attention", "difference": change}]
    assert cells(arm_table(rows))[0][:3] == ["full", "2", "0.700 ± 0.010\n[0.600, 0.800]"]
    (line,) = cells(difference_table(rows))
    assert line[0] == "no attention"
    assert line[1] == "−0.200 [−0.300, −0.100]\np 0.010"
    assert line[4:] == ["−20.00 [−30.00, −10.00]\np 0.010", "–", "+0.100 [+0.000, +0.200]"]


def test_arms_that_grade_without_the_joint_network_are_named_and_explained(tmp_path):
    made = study(tmp_path)
    before = str(joint_section(made))
    assert "Logistic regression" not in before and "ResNet" not in before
    rows = made.metrics["ablation_joint"]["rows"]
    (alone,) = (row for row in rows if row["arm"] == "grading_only")
    more = [alone | {"arm": name} for name in ("radiomics", "resnet10")]
    metrics = edited(made.metrics, "ablation_joint", rows=rows + more)
    after = str(joint_section(study(tmp_path, metrics=metrics)))
    assert "radiomics: Logistic regression on volumes, shape and intensities under the masks that segmentation" in after
    assert "ResNet-10: A plain 3D CNN on the same augmented volumes" in after and "resnet10" not in after
    assert [after.count(f"joint minus {name} ") for name in ("grading only", "radiomics", "ResNet-10")] == [2, 2, 2]
    assert [cells(make(rows + more))[-1][0] for make in (arm_table, difference_table)] == ["ResNet-10"] * 2


def test_scores_that_the_joint_network_lacks_have_no_row():
    found = {"dice_wt": 0.8, "grade_auc": None, "ci95": {"dice_wt": [0.7, 0.9]}, "grade_ci95_exact": {}}
    found |= {"n_test": 3, "n_patients": 2, "n_segmented": 3, "n_graded": 0}
    assert cells(joint_headline(found)) == [["Dice, whole tumour", "0.800", "[0.700, 0.900]", ""]]


def test_volumes_are_shown_with_error_bias_and_limits(tmp_path):
    found = study(tmp_path).scores("joint3d")
    table = _volumes(found)[0]
    assert cells(table)[0][:2] == ["whole tumour", "8 % [3, 13]"] and cells(table)[0][2].startswith("1.5 ml [")
    assert _volumes(found | {"n_segmented": 0}) == []


def test_post_processing_is_shown_with_its_gain(tmp_path):
    (table,) = postprocessing_tables(study(tmp_path).scores("joint3d")["postprocessing"])
    assert cells(table)[0] == [
        "whole tumour",
        "0.4",
        "0.5 ml",
        "0 ml",
        "0.810 → 0.820",
        "0.810 → 0.820",
        "+0.010 [−0.010, +0.030]",
    ]
    assert [row[2:4] for row in cells(table)[1:]] == [["0 ml", "0 ml"], ["0.05 ml", "0.1 ml"]]
    assert "16 validation cases" in table.note and "smaller than 10% of a case's largest" in table.note
    assert postprocessing_tables(None) == []


def test_volumes_are_counted(tmp_path):
    _, facts, grades = volumes_section(study(tmp_path)).blocks
    assert dict(cells(facts)) == {
        "cases": "3",
        "patients": "2",
        "with a segmentation": "1",
        "segmentation labels": "brats: 1 necrotic_core, 2 edema, 4 enhancing (1)",
        "with a grade": "2",
        "grids (voxels)": "4x4x4 (2), 5x4x4 (1)",
        "spacings (mm)": "1.000x1.000x1.000 (3)",
    }
    assert cells(grades)[-1][0] == "all"


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), ([], "–"), (1e-5, "1e-05"), (True, "yes"), (["a", 2.0], "a, 2"), ({"x": 0.5}, "{x: 0.5}")],
)
def test_parameters_for_readers(value, text):
    assert written(value) == text


def test_time_of_each_stage(tmp_path):
    times = run_section(study(tmp_path)).blocks[2]
    assert times.caption == "Time of each stage: 4 s over 2 stages"
    assert cells(times) == [["train", "3.0", "75.0 %", "1.0"], ["split", "1.0", "25.0 %", "0.5"]]


def test_the_card_names_the_limits_of_this_run(tmp_path):
    made = study(tmp_path)
    assert any("images are synthetic" in sentence for sentence in limits(made))
    assert not any("optimistic" in sentence for sentence in limits(made))  # every patient is known and on one side

    def said(audit, within=0.8, ends=(0.7, 0.9)):
        sets = {"sets": {"far_away": external_scores(within=within, ends=ends)}}
        edited_ = made.metrics | {"audit": made.metrics["audit"] | audit, "external": sets}
        return plain(" ".join(limits(study(tmp_path, notes={"images": "", "volumes": ""}, metrics=edited_))))

    some = said(leak_audit())
    assert "synthetic" not in some
    assert "one data set" in some.lower()
    assert "patients apart where known (4,742 of 7,011 images). For 2,269 images it is unknown" in some
    assert "far away" not in some
    within = "the AUC within patients is 0.500 [0.400, 0.600], not distinguishable from chance"
    assert f"On slices of far away, {within}" in said({}, 0.5, (0.4, 0.6))
    leaking = {"leaks_by_split": {made.params["split_by"]: leaks(702, 182, 351, 0, 0, 0)}}
    limit = "351 of 702 test images have a near copy in train; patients unknown: the scores are optimistic."
    assert f"leaks: {limit}" in said(leaking)


def test_the_summary_states_what_the_split_keeps_apart(tmp_path):
    made = study(tmp_path)
    unknown = edited(made.metrics, "audit", images_without_patient=652)
    for metrics, words in (
        (made.metrics, "(leak-free: patients and near copies apart)"),
        (unknown, "(near copies apart; patients unknown)"),
    ):
        first = summary_section(study(tmp_path, metrics=metrics)).blocks[0]
        assert f"split by {made.params['split_by']} {words}" in first.text
