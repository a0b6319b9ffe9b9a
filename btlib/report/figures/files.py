"""Figures as PNG files, each with a note that says what its data are."""

from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from btlib.core.runtime.artifacts import write_figure
from btlib.report.figures.style import WORDS

STRIP = 0.3  # inches that a note takes above its figure
MARGIN = 0.08  # inches between a note and the right edge


class FigureFolder(NamedTuple):
    """A folder of figures that show the same data.

    Attributes:
        path: the folder; it is made with the first figure.
        note: what the data are, such as "phantom data"; '' for real images, which need no note.
    """

    path: Path
    note: str

    def write(self, name: str, figure: Figure) -> None:
        """Writes the figure as PNG, with the note above it; the same figure gives the same bytes.

        Args:
            name: of the file, such as "roc.png".
        """
        write_figure(self.path / name, figure, stamp(figure, self.note))


def stamp(figure: Figure, note: str) -> Bbox | None:
    """Puts the note into a strip above the figure, where no layout can place anything else.

    Returns:
        The figure and the strip, in inches; None without a note, which leaves the figure as it is.
    """
    if not note:
        return None
    width, height = figure.get_size_inches()
    place = {"x": width - MARGIN, "y": height + STRIP / 2, "transform": figure.dpi_scale_trans}
    figure.text(s=note, ha="right", va="center", fontsize=10, weight="bold", color=WORDS, **place)
    return Bbox.from_extents(0, 0, width, height + STRIP)
