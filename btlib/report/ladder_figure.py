"""The ladder as dots with intervals: accuracy on each rung, and beside it the AUC in other hospitals."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from btlib.images.data.separation import IMAGE
from btlib.report.figures.numbers import spoken
from btlib.report.figures.style import CHANCE, PAPER, SERIES, WORDS, in_percent, stripes
from btlib.report.ladder import STEPS, Climb, Estimate

WITHIN = "auc_within_patients"
COLORS = tuple(color for color in SERIES if color != PAPER)
SPREAD = 0.62  # of a row, over which its dots are spread so that none hides another
LINES = {
    "near_copy": "near copies apart,\npatients ignored",
    "patient": "patients apart\nwhere known",
    "known": "images of known\npatients only",
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
    _dots(first, climbs, [[climb.steps.get(step) for step in steps] for climb in climbs])
    if IMAGE in steps:
        first.plot(paper, steps.index(IMAGE) - 0.42, "D", color=PAPER, mfc="none", mew=1.6, label="the paper")
    first.set(title="Accuracy on the same data", xlabel="accuracy, 95 % interval")
    in_percent(first.xaxis)
    for axes in second:
        _rows(axes, [spoken(name) for name in sets])
        axes.axvline(0.5, **CHANCE)
        axes.text(0.505, -0.47, "chance", color=WORDS, fontsize=9, va="top")
        _dots(axes, climbs, [[_outside(climb, name) for name in sets] for climb in climbs])
        axes.set(title="Elsewhere: other hospitals", xlabel="AUC within patients, 95 % interval", xlim=(0, 1))
    figure.legend(*first.get_legend_handles_labels(), loc="outside lower center", frameon=False, fontsize=9)
    return figure


def _rows(axes: Axes, names: Sequence[str]) -> None:
    stripes(axes, len(names))
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _dots(axes: Axes, climbs: Sequence[Climb], estimates: Sequence[Sequence[Estimate | None]]) -> None:
    """The estimates of each recipe; those in the same row are spread evenly over it."""
    in_row = [[number for number, found in enumerate(row) if found] for row in zip(*estimates, strict=True)]
    for number, (climb, found) in enumerate(zip(climbs, estimates, strict=True)):
        color = COLORS[number % len(COLORS)]
        rows = [row for row, estimate in enumerate(found) if estimate]
        places = [row + SPREAD * ((in_row[row].index(number) + 0.5) / len(in_row[row]) - 0.5) for row in rows]
        for row, place in zip(rows, places, strict=True):
            axes.hlines(place, *found[row].ends, color=color, linewidth=2)
        values = [found[row].value for row in rows]
        axes.plot(values, places, "o", color=color, markersize=6, label=climb.title)


def _outside(climb: Climb, name: str) -> Estimate | None:
    """The AUC within patients; where it has no interval, one of no width."""
    scores = climb.outside.get(name)
    if scores is None or scores[WITHIN] is None:
        return None
    return Estimate(scores[WITHIN], scores["ci95"][WITHIN] or (scores[WITHIN], scores[WITHIN]))
