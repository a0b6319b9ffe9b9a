"""Sets of other hospitals: ROC over all images, and the AUC of every patient with and without tumour."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

from btlib.images.evaluation.external import External, patient_aucs
from btlib.report.figures.numbers import Score, spoken
from btlib.report.figures.style import CHANCE, SERIES

COLUMNS = 3
AREA = Score("AUC")


def external_figure(sets: Mapping[str, tuple[External, dict]]) -> Figure:
    """A panel with the ROC curve of each set, then for each set a panel with a dot for every patient.

    Args:
        sets: name -> answers and their `external_scores`; at least one.
    """
    panels = 1 + len(sets)
    width = min(COLUMNS, panels)
    rows = -(-panels // width)
    figure = Figure(figsize=(5 * width, 4.6 * rows + 0.4), layout="constrained")
    grid = figure.subplots(rows, width, squeeze=False).ravel()
    _roc(grid[0], sets)
    for number, (axes, (name, (answers, scores))) in enumerate(zip(grid[1:], sets.items(), strict=False)):
        _patients(axes, name, answers, scores, SERIES[number % len(SERIES)])
    for axes in grid[panels:]:
        axes.set_axis_off()
    figure.suptitle("Images of other hospitals: tumour or none")
    return figure


def _roc(axes: Axes, sets: Mapping[str, tuple[External, dict]]) -> None:
    for number, (name, (answers, scores)) in enumerate(sets.items()):
        style = {"color": SERIES[number % len(SERIES)], "linewidth": 1.8}
        if scores["auc"] is None:
            axes.plot([], [], **style, label=f"{spoken(name)}: undefined, one kind only")
            continue
        fpr, tpr, _ = roc_curve(answers.tumor, answers.suspicion)
        axes.plot(fpr, tpr, **style, label=f"{spoken(name)}: {_said(scores, 'auc')}")
    axes.plot([0, 1], [0, 1], **CHANCE, label="chance 0.5")
    axes.legend(title="area under the curve [95 %]", loc="lower right", fontsize=9)
    axes.set(xlabel="1 − specificity", ylabel="sensitivity", title="all images", aspect="equal")


def _patients(axes: Axes, name: str, answers: External, scores: dict, color: str) -> None:
    axes.set_title(f"{spoken(name)}: within patients", fontsize=11)
    reason = scores["undefined"].get("auc_within_patients")
    if reason:
        axes.set_axis_off()
        axes.text(0.5, 0.5, f"undefined:\n{reason}", ha="center", va="center", transform=axes.transAxes)
        return
    aucs = np.sort(patient_aucs(answers)[0])
    axes.axvline(0.5, **CHANCE, label="chance 0.5")
    mean, ends = scores["auc_within_patients"], scores["ci95"]["auc_within_patients"]
    if ends:
        axes.axvspan(*ends, color=color, alpha=0.18, linewidth=0)
    axes.axvline(mean, color=color, linewidth=1.6, label=f"mean {_said(scores, 'auc_within_patients')}")
    axes.plot(aucs, range(1, len(aucs) + 1), "o", color=color, markersize=max(2.5, min(6, 240 / len(aucs))))
    axes.set(xlim=(-0.03, 1.03), xlabel="AUC among the patient's own images", ylabel="patients, sorted")
    axes.set(ylim=(0.5, len(aucs) + 0.5), yticks=[])
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper left", fontsize=9, framealpha=0.9)


def _said(scores: dict, name: str) -> str:
    return AREA.estimate(scores[name], scores["ci95"][name])
