"""Figures on disk: each carries its note, which lies on nothing, and no module writes one in another way."""

import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from btlib.report.figures.files import STRIP, FigureFolder, stamp

ROOT = Path(__file__).parents[2]
DRAWING = [*sorted((ROOT / "stages").glob("*.py")), *sorted((ROOT / "btlib/report").rglob("*.py"))]


def drawn(layout):
    """A figure that is full to its edges."""
    figure = Figure(figsize=(3, 2), layout=layout)
    figure.subplots().imshow(np.zeros((4, 4)), aspect="auto")
    figure.suptitle("A title at the very top", y=1)
    return figure


@pytest.mark.parametrize("layout", ["constrained", None])
def test_the_note_lies_above_the_figure_and_within_what_is_saved(layout):
    figure = drawn(layout)
    area = stamp(figure, "phantom data")
    figure.draw_without_rendering()  # lays the figure out
    _, note = figure.texts  # the title, too
    box, saved = note.get_window_extent(), area.transformed(figure.dpi_scale_trans)
    assert note.get_text() == "phantom data"
    assert box.y0 >= figure.bbox.y1, "the whole figure lies below"
    assert saved.x0 <= box.x0 and box.x1 <= saved.x1 and box.y1 <= saved.y1


@pytest.mark.parametrize("layout", ["constrained", None])
def test_below_the_note_nothing_changes(layout, tmp_path):
    FigureFolder(tmp_path, "phantom data").write("noted.png", drawn(layout))
    FigureFolder(tmp_path, "").write("plain.png", drawn(layout))
    noted, plain = (np.asarray(Image.open(tmp_path / name).convert("RGB")) for name in ("noted.png", "plain.png"))
    strip = noted.shape[0] - plain.shape[0]
    assert strip == pytest.approx(110 * STRIP, abs=1) and noted.shape[1] == plain.shape[1]
    assert np.array_equal(noted[strip:], plain)
    assert noted[:strip].min() < 150


def test_a_folder_writes_the_same_bytes_again(tmp_path):
    for folder in ("a", "b"):
        FigureFolder(tmp_path / folder, "phantom data").write("x.png", drawn("constrained"))
    assert (tmp_path / "a/x.png").read_bytes() == (tmp_path / "b/x.png").read_bytes()


@pytest.mark.parametrize("path", DRAWING, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_figure_goes_through_the_folder_and_every_colour_comes_from_the_palette(path):
    text = path.read_text(encoding="utf-8")
    assert path.name == "files.py" or not re.search(r"savefig|write_figure", text)
    assert path.name == "style.py" or not re.search(r"#[0-9A-Fa-f]{6}\b|\btab:", text)
