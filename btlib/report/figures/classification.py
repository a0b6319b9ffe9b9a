"""Figures 10–12 of the paper and the reliability diagram, drawn from a predictions table.

Every function returns a matplotlib figure made without pyplot, so nothing global is touched.
"""

from collections.abc import Sequence
from itertools import cycle

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import confusion_matrix

from btlib.core.metrics import calibration
from btlib.core.metrics.classification import METRICS, per_class
from btlib.core.metrics.classification import scores as all_scores
from btlib.core.metrics.predictions import Predictions
from btlib.images.evaluation.curves import pr_curves, roc_curves
from btlib.report.figures.numbers import PERCENT, SHARE, Score, count, spoken
from btlib.report.figures.style import BARS, BLACK, CHANCE, FAINT, RIGHT, SERIES, WHITE, WRONG
from btlib.report.figures.wording import caption, scores_of

SCORES = scores_of(METRICS)
MEANS = {"micro": "--", "macro": ":"}  # and the lines of their curves
MAGNIFY_ABOVE = 0.97  # curves of such area crowd a corner, which an inset then shows larger; else it would hide them
CLASS_SCORES = {
    "precision": Score("precision", 2, 100.0, PERCENT),
    "recall": Score("recall", 2, 100.0, PERCENT),
    "f1": Score("F1"),
    "roc_auc": Score("ROC-AUC", 4),
    "ap": Score("average precision"),
}


def classification_figure(predictions: Predictions) -> Figure:
    """The scores of each class as a heat table, and the confusion matrix beside it (Figure 10)."""
    figure = Figure(figsize=(13, 5), layout="constrained")
    report, confusion = figure.subplots(1, 2)
    _report_table(report, predictions)
    _confusion(confusion, predictions)
    accuracy = SCORES["accuracy"].said(predictions.correct.mean())
    figure.suptitle(f"Test set: accuracy {accuracy} on {count(len(predictions.labels))} images")
    return figure


def _report_table(axes: Axes, predictions: Predictions) -> None:
    scores = pd.DataFrame(per_class(predictions)).T
    columns = list(CLASS_SCORES)
    values = np.vstack([scores[columns].to_numpy(float), scores[columns].mean().to_numpy(float)])
    rows = [f"{spoken(name)} (n={count(int(scores['support'][name]))})" for name in predictions.classes]
    # a common floor keeps 0.95 and 0.99 apart without making 0.98 look like a failure
    axes.imshow(values, cmap="Greens", vmin=min(0.8, values.min()) - 0.1, vmax=1.15, aspect="auto")
    cells = [[score.said(value) for score, value in zip(CLASS_SCORES.values(), row, strict=True)] for row in values]
    _write_cells(axes, cells)
    _ticks(axes, ["precision", "recall", "F1", "ROC-AUC", "AP"], [*rows, "macro mean"])
    axes.set_title("Per class, one versus rest")


def _confusion(axes: Axes, predictions: Predictions) -> None:
    counts = confusion_matrix(predictions.labels, predictions.predicted, labels=range(len(predictions.classes)))
    shares = counts / counts.sum(axis=1, keepdims=True)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1.6, aspect="auto")
    both = np.stack([counts, shares], axis=-1)
    _write_cells(axes, [[f"{count(int(n))}\n{SHARE.said(share)}" for n, share in row] for row in both])
    names = [spoken(name) for name in predictions.classes]
    _ticks(axes, names, names)
    axes.set(title="Confusion matrix (count, share of the true class)", xlabel="predicted", ylabel="true")


def _write_cells(axes: Axes, texts: Sequence[Sequence[str]]) -> None:
    for (row, column), text in np.ndenumerate(texts):
        axes.text(column, row, text, ha="center", va="center", fontsize=11)


def _ticks(axes: Axes, columns: list[str], rows: list[str]) -> None:
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(rows)), rows)
    axes.tick_params(length=0)


def roc_figure(predictions: Predictions, scores: dict) -> Figure:
    """One-versus-rest ROC curves with macro and micro mean, and a view of the corner (Figure 11a).

    Args:
        scores: the content of metrics/classification.json, for the areas in the legend.
    """
    figure = Figure(figsize=(7, 6.5), layout="constrained")
    axes = figure.subplots()
    areas = {name: scores["per_class"][name]["roc_auc"] for name in predictions.classes}
    areas |= {name: scores[f"roc_auc_{name}"] for name in ("macro", "micro")}
    views = [axes]
    if areas["macro"] > MAGNIFY_ABOVE:
        corner = axes.inset_axes((0.42, 0.42, 0.54, 0.5), xlim=(-0.002, 0.1), ylim=(0.9, 1.002))
        corner.set_title("upper left corner", fontsize=9)
        axes.indicate_inset_zoom(corner, edgecolor=FAINT)
        views.append(corner)
    styles = _styles(predictions.classes)
    for name, points in roc_curves(predictions).items():
        label = f"{spoken(name)} {CLASS_SCORES['roc_auc'].said(areas[name])}"
        for where in views:
            where.plot(points["fpr"], points["tpr"], **styles[name], label=label)
    axes.plot([0, 1], [0, 1], **CHANCE, label="chance 0.5")
    axes.legend(title="area under the curve", loc="lower right", ncols=2, fontsize=9)
    axes.set(xlabel="false positive rate", ylabel="true positive rate", title="ROC, one versus rest")
    return figure


def pr_figure(predictions: Predictions, scores: dict) -> Figure:
    """One-versus-rest precision-recall curves (Figure 11b). `scores` as for `roc_figure`."""
    figure = Figure(figsize=(7, 6.5), layout="constrained")
    axes = figure.subplots()
    areas = {name: scores["per_class"][name]["ap"] for name in predictions.classes} | {"micro": scores["ap_micro"]}
    views = [axes]
    if scores["ap_macro"] > MAGNIFY_ABOVE:
        corner = axes.inset_axes((0.1, 0.36, 0.5, 0.46), xlim=(0.85, 1.005), ylim=(0.85, 1.005))
        corner.set_title("upper right corner", fontsize=9)
        axes.indicate_inset_zoom(corner, edgecolor=FAINT)
        views.append(corner)
    styles = _styles(predictions.classes)
    for name, points in pr_curves(predictions).items():
        label = f"{spoken(name)} {CLASS_SCORES['ap'].said(areas[name])}"
        for where in views:
            # steps: between two thresholds precision does not vary linearly
            where.step(points["recall"], points["precision"], where="post", **styles[name], label=label)
    macro = SCORES["ap_macro"].said(scores["ap_macro"])
    axes.legend(title=f"average precision (macro {macro})", loc="lower left", ncols=2, fontsize=9)
    axes.set(xlabel="recall", ylabel="precision", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.set_title("Precision and recall, one versus rest")
    return figure


def _styles(classes: Sequence[str]) -> dict[str, dict]:
    """How the curve of each class, and of the micro and macro mean, is drawn."""
    styles = {name: {"color": color, "linewidth": 1.8} for name, color in zip(classes, cycle(SERIES), strict=False)}
    means = {name: {"color": BLACK, "linestyle": line, "linewidth": 1.6} for name, line in MEANS.items()}
    return styles | means


def calibration_figure(predictions: Predictions, temperature: float, bins: int) -> Figure:
    """Reliability diagrams before and after temperature scaling, each over a histogram of confidence."""
    figure = Figure(figsize=(11, 6.4), layout="constrained")
    axes = figure.subplots(2, 2, sharex=True, sharey="row", height_ratios=(3, 1))
    scores = all_scores(predictions, temperature, bins)
    scaled = calibration.scale(predictions.probabilities, temperature)
    columns = (
        ("as predicted", predictions.confidence, scores["ece"]),
        (f"logits / {temperature:.3g}", scaled.max(axis=1), scores["ece_temperature_scaled"]),
    )
    for (diagram, histogram), (title, confidence, error) in zip(axes.T, columns, strict=True):
        table = calibration.reliability(confidence, predictions.correct, bins)
        _reliability(diagram, table)
        diagram.set_title(f"{title}: ECE {SCORES['ece'].said(error)}")
        _histogram(histogram, table)
    axes[0, 0].set_ylabel("accuracy")
    axes[1, 0].set(ylabel="images (log)", yscale="symlog", ylim=(0, 6 * len(predictions.labels)))
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    figure.suptitle(f"Calibration on {count(len(predictions.labels))} test images")
    return figure


def _reliability(axes: Axes, table: pd.DataFrame) -> None:
    filled = table.dropna()
    bars = {"x": filled["lower"], "width": filled["upper"] - filled["lower"], "align": "edge"}
    gap = filled["confidence"] - filled["accuracy"]
    axes.bar(height=filled["accuracy"], color=BARS, edgecolor=WHITE, label="accuracy", **bars)
    gap_style = {"facecolor": "none", "edgecolor": WRONG, "hatch": "///", "label": "gap to mean confidence"}
    axes.bar(height=gap, bottom=filled["accuracy"], **gap_style, **bars)
    axes.plot([0, 1], [0, 1], color=BLACK, linestyle=":", label="perfect")
    axes.set(xlim=(0, 1), ylim=(0, 1.02))


def _histogram(axes: Axes, table: pd.DataFrame) -> None:
    bars = axes.bar(
        table["lower"], table["count"], table["upper"] - table["lower"], align="edge", edgecolor=WHITE, color=FAINT
    )
    axes.bar_label(bars, [count(int(number)) if number else "" for number in table["count"]], fontsize=8)
    axes.set_xlabel("confidence")


def predictions_figure(predictions: Predictions, rows: dict[str, np.ndarray], images: np.ndarray) -> Figure:
    """Images with predicted class and confidence, right and wrong in two colours (Figure 12). One row per true class.

    Args:
        rows: class name -> row numbers of the table to show.
        images: uint8 [sum of the rows, S, S, 3], in the order of `rows`.
    """
    width = max(map(len, rows.values()))
    figure = Figure(figsize=(1.75 * width, 2.05 * len(rows) + 0.4), layout="constrained")
    grid = figure.subplots(len(rows), width, squeeze=False)
    remaining = iter(images)
    for axes_row, (name, numbers) in zip(grid, rows.items(), strict=True):
        for axes in axes_row:
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
        axes_row[0].set_ylabel(f"true: {spoken(name)}", fontsize=10)
        for axes, number in zip(axes_row, numbers, strict=False):
            _prediction(axes, predictions, number, next(remaining))
    figure.suptitle("Predicted class and confidence; ✓ is right, ✗ wrong (errors shown first)")
    return figure


def _prediction(axes: Axes, predictions: Predictions, number: int, image: np.ndarray) -> None:
    color = RIGHT if predictions.correct[number] else WRONG
    axes.imshow(image)
    axes.set_title(caption(predictions, number), color=color, fontsize=9)
    axes.spines[:].set(visible=True, color=color, linewidth=2.5)
