"""How much the folds of a cross-validation differ."""

from collections.abc import Mapping

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter


def folds_figure(scores: Mapping, title: str) -> Figure:
    """A dot for each fold's accuracy, the pooled one with its interval as a band, and the known patients' beside it.

    Args:
        scores: of `cross_validation_metrics`, with folds.
    """
    figure = Figure(figsize=(6.4, 0.45 * len(scores["folds"]) + 1.8), layout="constrained")
    axis = figure.subplots()
    whole = scores["pooled"]
    axis.axvspan(*whole["ci95"]["accuracy"], alpha=0.2, lw=0, label="all folds pooled, 95 %")
    axis.axvline(whole["accuracy"], lw=1)
    names = [f"fold {row['fold']}: {row['errors']} of {row['n_test']} wrong" for row in scores["folds"]]
    axis.plot([row["accuracy"] for row in scores["folds"]], range(len(names)), "o", c="tab:blue")
    known = scores["known_patients"]
    if known:
        low, high = known["ci95"]["accuracy"]
        names.append(f"images of {known['patients']} known patients")
        accuracy = known["accuracy"]
        axis.errorbar(accuracy, len(names) - 1, xerr=[[accuracy - low], [high - accuracy]], fmt="s", c="tab:red")
    axis.set_yticks(range(len(names)), names)
    axis.invert_yaxis()
    axis.xaxis.set_major_formatter(PercentFormatter(1.0))
    axis.set(title=title, xlabel="accuracy")
    axis.legend(fontsize="small")
    return figure
