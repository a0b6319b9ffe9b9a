"""The ladder as dots with intervals: accuracy on each rung, and beside it what is left in other hospitals."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from btlib.report.ladder import STEPS, Climb, Estimate
from btlib.report.scores import spoken
from btlib.separation import IMAGE

WITHIN = "auc_within_patients"
COLOURS = ("#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # Okabe and Ito (2008)
PAPER = "#D55E00"
SPREAD = 0.62  # of a row, over which its dots are spread so that none hides another
LINES = {
    "near_copy": "near copies apart,\npatients not looked at",
    "patient": "patients apart\nwhere known",
    "known": "of these, images\nof known patients",
}


def ladder_figure(climbs: Sequence[Climb], paper: float) -> Figure:
    """A row for each rung from the top down; at the right, where any was tried, one for each set of another hospital.

    Args:
        climbs: at least one, with at least one step.
        paper: the accuracy that the paper prints, split by image.
    """
    steps = [step for step in STEPS if any(step in climb.steps for climb in climbs)]
    sets = list(dict.fromkeys(name for climb in climbs for name in climb.outside))
    panels, rows = 1 + bool(sets), max(len(steps), len(sets))
    height = 1.3 + 0.85 * rows + 0.22 * (len(climbs) + 1)
    figure = Figure(figsize=(5.2 * panels, height), layout="constrained")
    first, *second = figure.subplots(1, panels, squeeze=False)[0]
    _rows(first, [LINES.get(step, STEPS[step]) for step in steps])
    for number, climb in enumerate(climbs):
        _dots(first, number, len(climbs), [climb.steps.get(step) for step in steps], climb.title)
    if IMAGE in steps:
        first.plot(paper, steps.index(IMAGE) - 0.42, "D", color=PAPER, mfc="none", mew=1.6, label="the paper")
    first.set(title="Accuracy on the same data", xlabel="accuracy, 95 % interval")
    first.xaxis.set_major_formatter(PercentFormatter(1.0))
    for axes in second:
        _rows(axes, [spoken(name) for name in sets])
        axes.axvline(0.5, color="0.4", linestyle="--", linewidth=1)
        axes.text(0.505, -0.47, "chance", color="0.35", fontsize=9, va="top")
        for number, climb in enumerate(climbs):
            _dots(axes, number, len(climbs), [_outside(climb, name) for name in sets])
        axes.set(title="Elsewhere: other hospitals", xlabel="AUC within patients, 95 % interval", xlim=(0, 1))
    figure.legend(*first.get_legend_handles_labels(), loc="outside lower center", frameon=False, fontsize=9)
    return figure


def _rows(axes: Axes, names: Sequence[str]) -> None:
    for number in range(0, len(names), 2):
        axes.axhspan(number - 0.5, number + 0.5, color="0.955", linewidth=0)
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _dots(axes: Axes, number: int, count: int, estimates: Sequence[Estimate | None], title: str = "") -> None:
    """The estimates of one recipe, each in its row."""
    lift = SPREAD * ((number + 0.5) / count - 0.5)
    colour = COLOURS[number % len(COLOURS)]
    there = [(row + lift, estimate) for row, estimate in enumerate(estimates) if estimate]
    for place, estimate in there:
        axes.hlines(place, *estimate.ends, color=colour, linewidth=2)
    values, places = [estimate.value for _, estimate in there], [place for place, _ in there]
    axes.plot(values, places, "o", color=colour, markersize=6, label=title or None)


def _outside(climb: Climb, name: str) -> Estimate | None:
    """The AUC within patients, with an interval of no width where it has none."""
    scores = climb.outside.get(name)
    if scores is None or scores[WITHIN] is None:
        return None
    return Estimate(scores[WITHIN], scores["ci95"][WITHIN] or (scores[WITHIN], scores[WITHIN]))
