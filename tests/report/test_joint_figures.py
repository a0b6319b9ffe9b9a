from itertools import pairwise

import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image

from btlib.core.runtime.artifacts import write_csv, write_figure
from btlib.report.figures.files import FigureFolder
from btlib.report.figures.numbers import GLUE
from btlib.report.figures.volume_comparison import joint_forest_figure, modality_figure
from btlib.report.figures.volume_scores import (
    agreement_figure,
    grade_figure,
    segmentation_figure,
    uncertainty_figure,
    write_joint_figures,
)
from btlib.volumes.evaluation.ablation import joint_ablation_table
from btlib.volumes.evaluation.modalities import modality_table
from btlib.volumes.evaluation.scores import joint_metrics
from btlib.volumes.evaluation.tables import CASE_SCORES, MODALITY_SCORES, JointTables, read_case_scores
from btlib.volumes.evaluation.uncertainty import risk_curves, uncertainty_rows
from tests.volumes.evaluation import joint_make

METHODS = ("softmax_entropy", "mc_entropy", "mc_mutual_information", "ensemble_entropy", "ensemble_mutual_information")


@pytest.fixture(scope="module")
def tables() -> JointTables:
    return JointTables(
        joint_make.predictions(9),
        joint_make.predictions(),
        joint_make.segmentation(),
        joint_make.voxel_errors(),
        joint_make.grade_uncertainty(),
    )


@pytest.fixture(scope="module")
def scores(tables) -> dict:
    return joint_metrics(tables, 15, 50, np.random.default_rng(0))


@pytest.fixture(scope="module")
def doubt(tables):
    made = joint_make.voxel_errors(METHODS), joint_make.grade_uncertainty(METHODS)
    return uncertainty_rows(*made, tables.cohort, 50, np.random.default_rng(0)), made[0]


@pytest.fixture(scope="module")
def ablation(tmp_path_factory) -> dict:
    path = tmp_path_factory.mktemp("ablation") / "cases.csv"
    write_csv(path, joint_make.case_scores())
    cohort, runs = read_case_scores(path, CASE_SCORES)
    arms = {arm: found for (arm,), found in runs.items()}
    failures = {arm: dict.fromkeys(joint_make.SEEDS, "") for arm in arms}
    return joint_ablation_table(cohort, arms, failures, 15, 50, np.random.default_rng(0))


@pytest.fixture(scope="module")
def missing(tmp_path_factory) -> dict:
    path = tmp_path_factory.mktemp("missing") / "modalities.csv"
    write_csv(path, joint_make.modality_scores())
    return modality_table(*read_case_scores(path, MODALITY_SCORES), 15, 50, np.random.default_rng(0))


@pytest.fixture(scope="module")
def figures(tables, scores, doubt, ablation, missing) -> dict:
    return {
        "segmentation": segmentation_figure(tables.segmentation, tables.test, scores),
        "volumes": agreement_figure(tables.segmentation, tables.test, scores),
        "grade": grade_figure(tables.test, scores, 15),
        "uncertainty": uncertainty_figure(*doubt),
        "forest": joint_forest_figure(ablation),
        "modalities": modality_figure(missing),
    }


def texts(figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text)]


def beyond_the_axes(figure) -> set[Text]:
    """Labels of ticks outside the limits: they exist, but are not drawn."""
    return {
        label
        for axes in figure.axes
        for axis, (low, high) in ((axes.xaxis, sorted(axes.get_xlim())), (axes.yaxis, sorted(axes.get_ylim())))
        for tick in axis.get_major_ticks()
        if not low <= tick.get_loc() <= high
        for label in (tick.label1, tick.label2)
    }


def marks(axes, shape: str) -> list:
    return [line for line in axes.lines if line.get_marker() == shape]


def test_no_text_lies_on_another_and_all_is_inside(figures):
    for name, figure in figures.items():
        figure.draw_without_rendering()  # lays the figure out
        shown = set(figure.findobj(Text)) - beyond_the_axes(figure)
        drawn = [text for text in shown if text.get_text().strip() and text.get_visible()]
        boxes = {f"{n} {text.get_text()}": text.get_window_extent() for n, text in enumerate(drawn)}
        pairs = [(a, b) for a in boxes for b in boxes if a < b and boxes[a].overlaps(boxes[b])]
        assert not pairs, name
        outside = [a for a, box in boxes.items() if not all(figure.bbox.contains(*c) for c in (box.min, box.max))]
        assert not outside, name


def test_every_case_has_a_dot_and_every_grade_its_means(tables, scores):
    outline, distance = segmentation_figure(tables.segmentation, tables.test, scores).axes
    for axes, measure in ((outline, "dice"), (distance, "hd95")):
        dots = np.concatenate([line.get_ydata() for line in marks(axes, "o")])
        assert sorted(dots) == pytest.approx(sorted(tables.segmentation[measure]))
        for line, grade in zip(marks(axes, "D"), ("LGG", "HGG"), strict=True):
            assert list(line.get_ydata()) == [scores["by_grade"][grade][f"{measure}_{r}"] for r in ("wt", "tc", "et")]
    assert {"LGG (4 cases)", "HGG (8 cases)"} <= set(texts(outline.figure))


def test_every_volume_stands_at_its_difference_with_bias_and_limits(tables, scores):
    figure = agreement_figure(tables.segmentation, tables.test, scores)
    for axes, region in zip(figure.axes, ("wt", "tc", "et"), strict=True):
        rows = tables.segmentation[tables.segmentation["region"] == region]
        dots = np.concatenate([line.get_xydata() for line in axes.lines if line.get_marker() in set("os^")])
        expected = np.column_stack([rows["truth_ml"], rows["predicted_ml"] - rows["truth_ml"]])
        assert sorted(map(tuple, dots)) == sorted(map(tuple, expected))
        found = scores["volumes"][region]
        lines = {line.get_ydata()[0] for line in axes.lines if line.get_marker() == "None"}
        assert {found["bias_ml"], found["lower_ml"], found["upper_ml"]} <= lines


def test_a_grade_without_cases_has_no_mean(tables):
    test = tables.test.assign(grade="HGG")
    scores = joint_metrics(tables._replace(test=test), 15, 20, np.random.default_rng(0))
    figure = segmentation_figure(tables.segmentation, test, scores)
    assert len(marks(figure.axes[0], "D")) == 1
    roc = grade_figure(test, scores, 15).axes[0]
    assert roc.get_title() == "ROC: AUC –" and len(roc.lines) == 1  # the diagonal


def test_the_point_of_decision_lies_on_the_curve(tables, scores):
    roc, reliability = grade_figure(tables.test, scores, 15).axes
    (decision,) = marks(roc, "o")
    curve = roc.lines[1].get_xydata()
    point = decision.get_xydata()[0]
    assert list(point) == pytest.approx([1 - scores["grade_specificity"], scores["grade_sensitivity"]])
    ends = [(np.minimum(a, b) - 1e-9, np.maximum(a, b) + 1e-9) for a, b in pairwise(curve)]
    assert any((low <= point).all() and (point <= high).all() for low, high in ends)
    low, high = scores["ci95"]["grade_auc"]
    assert roc.get_title() == f"ROC: AUC {scores['grade_auc']:.3f} [{low:.3f},{GLUE}{high:.3f}]"
    counts = [int(text.get_text()) for text in reliability.texts]
    assert sum(counts) == 13 and len(counts) == len(marks(reliability, "o"))


def test_uncertainty_marks_and_curves(doubt):
    rows, voxels = doubt
    in_voxels, in_grades, left = uncertainty_figure(rows, voxels).axes
    for axes, name in ((in_voxels, "voxel_error_auroc"), (in_grades, "grade_error_auroc")):
        values = [line.get_xdata()[0] for line in axes.lines if line.get_marker() in set("os^Dv")]
        assert values == [row[name] for row in rows if row[name] is not None]
    assert len(left.lines) == 5
    curve = risk_curves(voxels)["mc_entropy"]
    assert left.lines[1].get_xydata()[0] == pytest.approx([1 - curve["coverage"].iloc[0], curve["risk"].iloc[0]])


def test_forest_marks_stand_at_the_differences_and_are_filled_where_shown(ablation):
    figure = joint_forest_figure(ablation)
    rows = [row["difference"] for row in ablation["rows"] if row["difference"]]
    for axes, name in zip(figure.axes, ("dice_wt", "dice_tc", "dice_et", "grade_accuracy", "grade_auc"), strict=True):
        known = [(number, row[name]) for number, row in enumerate(rows) if row[name]["value"] is not None]
        drawn = {line.get_ydata()[0]: line for line in marks(axes, "o")}
        assert [drawn[number].get_xdata()[0] for number, _ in known] == [found["value"] for _, found in known]
        filled = [drawn[number].get_markerfacecolor() != "white" for number, _ in known]
        assert filled == [found["p_holm"] is not None and found["p_holm"] <= 0.05 for _, found in known]
        low, high = axes.get_xlim()
        assert low == -high and all(low <= end <= high for _, found in known for end in found["ci95"])
    assert texts(figure).count("no such score") == 2 + 3 * len(joint_make.GRADE_ONLY)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [
        *("segmentation only", "grading only", "no attention", "no modality dropout", "radiomics", "ResNet-10")
    ]
    assert f"Dice WT\nfull: {ablation['rows'][0]['mean']['dice_wt']:.3f}{GLUE}±" in "\n\n".join(texts(figure))


def test_dots_show_which_modalities_are_there(missing):
    dots, *panels = modality_figure(missing).axes
    there = [line.get_xdata().tolist() for line in dots.lines[1::2]]
    assert there[:5] == [[0], [1], [2], [3], [0, 1]] and there[14] == [0, 1, 2, 3]
    for arm, line in zip(("full", "no_modality_dropout"), panels[0].lines, strict=True):
        expected = [row["mean"]["dice_wt"] for row in missing["rows"] if row["arm"] == arm]
        assert list(line.get_xdata()) == [*expected, missing["average"][arm]["mean"]["dice_wt"]]
    assert {"with modality dropout", "without modality dropout"} <= set(texts(dots.figure))


def test_what_a_network_does_not_do_is_not_drawn(tables, tmp_path):
    nothing = tables._replace(
        test=tables.test.assign(p_LGG=np.nan, p_HGG=np.nan), grade_uncertainty=tables.grade_uncertainty[:0]
    )
    scores = joint_metrics(nothing, 15, 20, np.random.default_rng(0))
    write_joint_figures(FigureFolder(tmp_path / "a", ""), nothing, scores, 15)
    assert {path.stem for path in (tmp_path / "a").iterdir()} == {"segmentation", "volumes", "uncertainty"}
    alone = tables._replace(segmentation=tables.segmentation[:0], voxel_errors=tables.voxel_errors[:0])
    scores = joint_metrics(alone, 15, 20, np.random.default_rng(0))
    write_joint_figures(FigureFolder(tmp_path / "b", ""), alone, scores, 15)
    assert {path.stem for path in (tmp_path / "b").iterdir()} == {"grade", "uncertainty"}


def test_the_same_figure_gives_the_same_bytes(missing, tmp_path):
    for name in ("a.png", "b.png"):
        write_figure(tmp_path / name, modality_figure(missing))
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as image:
        assert image.size[0] > 1200
