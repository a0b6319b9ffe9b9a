"""Figures of one joint network: Dice, HD95 and volumes by case, the grade, and what its uncertainty is worth.

Drawn from tables and scores without pyplot, so nothing global is touched.
"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

from btlib.core.metrics import calibration
from btlib.core.metrics.resampling import exact_ci95
from btlib.report.figures.files import FigureFolder
from btlib.report.figures.numbers import count
from btlib.report.figures.style import BLACK, CHANCE, GRID, MARKS, SERIES, WORDS
from btlib.report.figures.volume_claims import SCORES, area_words, uncertainty_name
from btlib.volumes.data.conventions import GRADES, REGION_NAMES, REGIONS
from btlib.volumes.evaluation.scores import HGG
from btlib.volumes.evaluation.tables import JointTables
from btlib.volumes.evaluation.uncertainty import risk_curves

MEASURES = {"dice": "Dice", "hd95": "95 % Hausdorff distance, mm"}
GOLDEN = (np.sqrt(5) - 1) / 2  # its multiples fill a range evenly and in no visible order


def write_joint_figures(figures: FigureFolder, tables: JointTables, scores: dict, bins: int) -> None:
    """Writes segmentation.png, volumes.png, grade.png and uncertainty.png, each where there is something to show.

    Args:
        scores: from `joint.joint_metrics`.
        bins: bins of the reliability diagram.
    """
    if scores["n_segmented"]:
        figures.write("segmentation.png", segmentation_figure(tables.segmentation, tables.test, scores))
        figures.write("volumes.png", agreement_figure(tables.segmentation, tables.test, scores))
    if scores["n_graded"]:
        figures.write("grade.png", grade_figure(tables.test, scores, bins))
    if scores["uncertainty"]:
        figures.write("uncertainty.png", uncertainty_figure(scores["uncertainty"], tables.voxel_errors))


def segmentation_figure(segmentation: pd.DataFrame, predictions: pd.DataFrame, scores: dict) -> Figure:
    """Dice and HD95 of every case by region and grade, with the means and their 95 % intervals.

    Args:
        segmentation: columns SEGMENTATION.
        predictions: of the test cases, columns PREDICTIONS, for their grades.
        scores: the content of metrics/joint3d.json.
    """
    table = segmentation.merge(predictions[["case", "grade"]], on="case")
    figure = Figure(figsize=(12, 4.8), layout="constrained")
    for axes, (measure, title) in zip(figure.subplots(1, 2), MEASURES.items(), strict=True):
        for number, grade in enumerate(GRADES):
            _cases(axes, table[table["grade"] == grade], scores["by_grade"][grade], measure, number)
        axes.set_xticks(range(len(REGIONS)), REGION_NAMES.values())
        axes.tick_params(axis="x", length=0)
        axes.set(ylabel=title, xlim=(-0.5, len(REGIONS) - 0.5))
        axes.grid(axis="y", color=GRID)
        axes.spines[["top", "right"]].set_visible(False)
    outline, distance = figure.axes
    outline.set_ylim(-0.02, 1.02)
    distance.set_yscale("symlog", linthresh=1)
    distance.set_yticks([0, 1, 10, 100], ["0", "1", "10", "100"])
    distance.set_ylim(bottom=0)
    figure.legend(*outline.get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    figure.suptitle(f"Segmentation of {count(scores['n_segmented'])} test cases; means with 95 % intervals")
    return figure


def _cases(axes: Axes, table: pd.DataFrame, scores: dict, measure: str, number: int) -> None:
    """The cases of one grade, with their means and intervals beside them."""
    centers = np.arange(len(REGIONS)) + (number - 0.5) * 0.44
    spread = (np.arange(scores["n"]) * GOLDEN % 1 - 0.5) * 0.2 - 0.06
    for center, region in zip(centers, REGIONS, strict=True):
        values = table[measure][table["region"] == region]
        axes.plot(center + spread, values, "o", color=SERIES[number], alpha=0.5, markersize=5, mew=0)
    if not scores["n"]:
        return
    names, x = [f"{measure}_{region}" for region in REGIONS], centers + 0.12
    axes.vlines(x, *np.array([scores["ci95"][name] for name in names]).T, color=BLACK, linewidth=2)
    style = {"color": SERIES[number], "markeredgecolor": BLACK, "markersize": 7}
    axes.plot(x, [scores[name] for name in names], "D", **style, label=f"{GRADES[number]} ({scores['n']} cases)")


def agreement_figure(segmentation: pd.DataFrame, predictions: pd.DataFrame, scores: dict) -> Figure:
    """Predicted minus true volume of every case against the true one, with bias and limits of agreement.

    Args: as for `segmentation_figure`.
    """
    table = segmentation.merge(predictions[["case", "grade"]], on="case")
    figure = Figure(figsize=(13, 4.4), layout="constrained")
    for axes, region in zip(figure.subplots(1, len(REGIONS)), REGIONS, strict=True):
        rows, found = table[table["region"] == region], scores["volumes"][region]
        for number, grade in enumerate((*GRADES, "")):
            cases = rows[rows["grade"] == grade]
            if grade or len(cases):
                dots = {"color": SERIES[number], "alpha": 0.6, "mew": 0, "label": grade or "grade unknown"}
                axes.plot(cases["truth_ml"], cases["predicted_ml"] - cases["truth_ml"], MARKS[number], **dots)
        axes.axhline(0, color=GRID, zorder=0)
        for name, style in (("bias_ml", "-"), ("lower_ml", "--"), ("upper_ml", "--")):
            if found[name] is not None:
                axes.axhline(found[name], color=BLACK, linestyle=style, linewidth=1)
        axes.set(xlabel="true volume, ml", title=REGION_NAMES[region])
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel("predicted − true volume, ml")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    cases = count(scores["n_segmented"])
    figure.suptitle(f"Volumes in {cases} test cases: bias (line) and 95 % limits of agreement (dashed)")
    return figure


def grade_figure(predictions: pd.DataFrame, scores: dict, bins: int) -> Figure:
    """The ROC curve of HGG against LGG, and a reliability diagram with exact 95 % intervals.

    Args:
        predictions: of the test cases, columns PREDICTIONS.
        scores: the content of metrics/joint3d.json.
        bins: bins of the reliability diagram.
    """
    graded = predictions[(predictions["grade"] != "") & predictions["p_HGG"].notna()]
    high, p_hgg = (graded["grade"] == HGG).to_numpy(), graded["p_HGG"].to_numpy()
    figure = Figure(figsize=(11, 5.4), layout="constrained")
    roc, reliability = figure.subplots(1, 2)
    roc.plot([0, 1], [0, 1], **CHANCE)
    if scores["grade_auc"] is not None:
        roc.plot(*roc_curve(high, p_hgg)[:2], color=SERIES[0], linewidth=2)
        called = 1 - scores["grade_specificity"], scores["grade_sensitivity"]
        roc.plot(*called, "o", color=SERIES[1], markersize=9, label="p(HGG) above ½", clip_on=False)
        roc.legend(loc="lower right", frameon=False)
    roc.set(xlabel="share of LGG called HGG", ylabel="share of HGG called HGG", aspect="equal")
    roc.set_title(f"ROC: AUC {_estimate_words(scores, 'grade_auc')}")
    _reliability(reliability, np.maximum(p_hgg, 1 - p_hgg), (p_hgg > 0.5) == high, bins)
    reliability.set_title(f"Reliability: ECE {_estimate_words(scores, 'grade_ece')}")
    figure.suptitle(f"Grade of {count(len(graded))} test cases, {count(high.sum())} of them HGG")
    return figure


def _estimate_words(scores: dict, name: str) -> str:
    return SCORES[name].estimate(scores[name], scores["ci95"][name])


def _reliability(axes: Axes, confidence: np.ndarray, right: np.ndarray, bins: int) -> None:
    """Share right against mean confidence, and above each bin its number of cases."""
    axes.plot([0.5, 1], [0.5, 1], color=BLACK, linestyle=":")
    for row in calibration.reliability(confidence, right, bins).dropna().itertuples():
        low, high = exact_ci95(round(row.accuracy * row.count), int(row.count))
        axes.vlines(row.confidence, low, high, color=SERIES[0], linewidth=1.5, alpha=0.6)
        axes.plot(row.confidence, row.accuracy, "o", color=SERIES[0], markersize=7)
        axes.text((row.lower + row.upper) / 2, 1.06, count(int(row.count)), ha="center", va="center", fontsize=9)
    axes.set(
        xlim=(0.46, 1.02), ylim=(-0.02, 1.1), xlabel="confidence in the grade (above: cases)", ylabel="share right"
    )


def uncertainty_figure(rows: list[dict], voxels: pd.DataFrame) -> Figure:
    """How well each method finds wrong voxels and wrong grades, and what is left without the least certain voxels.

    Args:
        rows: from `uncertainty.uncertainty_rows`.
        voxels: columns `joint_tables.VOXEL_ERRORS`.
    """
    figure = Figure(figsize=(14, 1.9 + 0.5 * max(4, len(rows))), layout="constrained")
    in_voxels, in_grades, left = figure.subplots(1, 3, width_ratios=(1, 1, 1.3))
    titles = {"voxel_error_auroc": "wrong voxels (whole tumour)", "grade_error_auroc": "wrong grades"}
    for axes, (name, title) in zip((in_voxels, in_grades), titles.items(), strict=True):
        for number, row in enumerate(rows):
            _estimate(axes, number, row, name)
        axes.axvline(0.5, **CHANCE)
        axes.set(xlim=(0, 1.02), ylim=(len(rows) - 0.5, -0.5), xlabel="AUROC (0.5: chance)", title=f"Finds {title}")
        axes.tick_params(axis="y", length=0)
        axes.spines[["top", "right"]].set_visible(False)
    in_voxels.set_yticks(range(len(rows)), [uncertainty_name(row["method"]) for row in rows])
    in_grades.set_yticks([])
    numbers = {row["method"]: number for number, row in enumerate(rows)}
    for method, curve in risk_curves(voxels).items():
        aside = curve[curve["coverage"] < 1]
        left.plot(1 - aside["coverage"], aside["risk"], color=SERIES[numbers[method]], linewidth=1.6)
    left.set(xscale="log", xlabel="share of voxels set aside, the least certain first")
    left.set(ylabel="share of the rest wrong", title="Wrong voxels left")
    left.spines[["top", "right"]].set_visible(False)
    figure.suptitle("What uncertainty is worth")
    return figure


def _estimate(axes: Axes, number: int, row: dict, name: str) -> None:
    """One method's area with its interval and, above it, both in words."""
    color, value, ends = SERIES[number], row[name], row["ci95"][name]
    if ends is not None:
        axes.hlines(number, *ends, color=color, linewidth=2)
    if value is not None:
        axes.plot(value, number, MARKS[number], color=color, markersize=8)
    axes.text(0.02, number - 0.26, area_words(row, name), va="center", fontsize=9, color=WORDS)
