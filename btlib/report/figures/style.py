"""Colours by what they mean, and what several figures draw alike.

The colours are those of Okabe and Ito (2008), which stay apart in every common kind of colour blindness.
"""

from matplotlib.axes import Axes
from matplotlib.axis import Axis

from btlib.report.figures.numbers import MINUS, PERCENT

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILLION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"

SERIES = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, BLACK)  # models, sets or methods, in their order
MARKS = "os^DvPX"  # of the same series, for print without colour
OURS, PAPER, ONE_SEED = BLUE, VERMILLION, SKY
RIGHT, WRONG = GREEN, VERMILLION
TISSUE_COLORS = {"edema": GREEN, "necrotic_core": VERMILLION, "enhancing": YELLOW}
REGION_COLORS = {"wt": YELLOW, "tc": VERMILLION, "et": SKY}
WHITE, LESION = "white", "magenta"  # a lesion's outline has a white rim, which sets it off from the image
BARS = "lightsteelblue"

WORDS, FAINT, ABSENT, GRID, STRIPE = "0.35", "0.5", "0.85", "0.9", "0.955"  # greys, from dark to light
CHANCE = {"color": FAINT, "linestyle": "--", "linewidth": 1}  # the line of a classifier that guesses


def stripes(axes: Axes, rows: int) -> None:
    """Shades every other row, so that the eye stays in its row."""
    for number in range(0, rows, 2):
        axes.axhspan(number - 0.5, number + 0.5, color=STRIPE, linewidth=0, zorder=0)


def in_percent(axis: Axis) -> None:
    """Labels shares of 1 in percent."""
    axis.set_major_formatter(lambda share, _: f"{100 * share:g}{PERCENT}".replace("-", MINUS))
