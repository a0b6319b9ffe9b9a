"""The accuracy of each fold of a cross-validation beside that of all folds together."""

from collections.abc import Mapping

from matplotlib.figure import Figure

from btlib.report.figures.numbers import count
from btlib.report.figures.style import SERIES, in_percent

FOLDS, KNOWN = SERIES[:2]


def folds_figure(scores: Mapping) -> Figure:
    """A dot for each fold, a band for all folds pooled, and a square for the images of known patients.

    Args:
        scores: of `cross_validation_metrics`, with folds.
    """
    figure = Figure(figsize=(6.4, 0.45 * len(scores["folds"]) + 1.8), layout="constrained")
    axis = figure.subplots()
    whole = scores["pooled"]
    axis.axvspan(*whole["ci95"]["accuracy"], color=FOLDS, alpha=0.2, lw=0, label="all folds pooled, 95 %")
    axis.axvline(whole["accuracy"], color=FOLDS, lw=1)
    names = [f"fold {row['fold']}: {count(row['errors'])} of {count(row['n_test'])} wrong" for row in scores["folds"]]
    axis.plot([row["accuracy"] for row in scores["folds"]], range(len(names)), "o", color=FOLDS)
    known = scores["known_patients"]
    if known:
        low, high = known["ci95"]["accuracy"]
        names.append(f"images of {count(known['patients'])} known patients")
        accuracy = known["accuracy"]
        ends = [[accuracy - low], [high - accuracy]]
        axis.errorbar(accuracy, len(names) - 1, xerr=ends, fmt="s", color=KNOWN)
    axis.set_yticks(range(len(names)), names)
    axis.invert_yaxis()
    in_percent(axis.xaxis)
    axis.set(title="Accuracy of each fold", xlabel="accuracy")
    axis.legend(fontsize="small")
    return figure
