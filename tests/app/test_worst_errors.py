"""Selection of the worst errors, and their figure."""

import numpy as np
import pandas as pd
from matplotlib.colors import to_hex

from btlib.app.predict.slices import SliceAnswer
from btlib.app.predict.worst_errors import ALARM, EACH, FOUND, MISSED, SIDE, TRUE, Shown, worst_figure, worst_rows
from btlib.images.data.classes import CLASSES
from btlib.report.figures.overlays import FOUND_LINE, TRUE_LINE


def table(labels, p_none):
    frame = pd.DataFrame({"label": labels, "p_no_tumor": p_none})
    return frame.assign(p_glioma=1 - frame.p_no_tumor, p_meningioma=0.0, p_pituitary=0.0)


def test_worst_errors_come_first_without_correct_answers():
    labels = ["tumor", "no_tumor", "glioma", "no_tumor", "pituitary", "no_tumor", "tumor"]
    rows = worst_rows(table(labels, [0.6, 0.4, 0.9, 0.1, 0.2, 0.8, 0.7]), CLASSES)
    assert rows == {MISSED: [2, 6, 0], ALARM: [3, 1]}


def test_at_most_one_row_of_errors():
    rows = worst_rows(table(["tumor"] * 20, np.linspace(0.6, 0.9, 20)), CLASSES)
    assert rows == {MISSED: list(range(19, 19 - EACH, -1)), ALARM: []}


def answer(label, p_none, lesion=None):
    probabilities = dict.fromkeys(CLASSES, 0.0) | {label: 0.731, "no_tumor": p_none}
    heat = np.linspace(0, 1, 300 * 448, dtype=np.float32).reshape(300, 448)
    return SliceAnswer(label, probabilities, probabilities[label], False, 0.5, False, heat, lesion, None)


def test_shown_errors_are_small_and_captioned():
    image = np.full((300, 448, 3), 90, np.uint8)
    lesion = np.zeros((300, 448), bool)
    lesion[100:150, 100:200] = True
    missed = Shown.small(image, answer("no_tumor", 0.9), lesion)
    assert missed.image.shape == missed.warm.shape == (150, SIDE, 3) and missed.lesion.shape == (150, SIDE)
    assert (missed.image == 90).all() and not np.array_equal(missed.warm, missed.image)
    assert missed.lesion.mean() == lesion.mean()
    assert missed.caption == "no tumor 90.0%"
    alarm = Shown.small(image[:20, :40], answer("glioma", 0.012), np.zeros((20, 40), bool))
    assert alarm.image.shape == (20, 40, 3)  # never enlarged
    assert alarm.caption == "glioma 73.1%\nno tumor 1.2%"
    figure = worst_figure({MISSED: [missed, missed], ALARM: [alarm]})
    assert figure.get_suptitle() == "The worst errors, worst first"
    assert [axes.get_ylabel() for axes in figure.axes[::2]] == [MISSED, "Grad-CAM", ALARM, "Grad-CAM"]
    assert [len(axes.images) for axes in figure.axes] == [1, 1, 1, 1, 1, 0, 1, 0]
    assert [bool(axes.collections) for axes in figure.axes] == [True] * 4 + [False] * 4
    assert len(worst_figure({MISSED: [], ALARM: [alarm]}).axes) == 2


def rectangle(rows, columns):
    lesion = np.zeros((300, 448), np.float32)
    lesion[rows, columns] = 0.8
    return lesion


def said(figure):
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def test_predicted_outline_is_shown_beside_the_true_one():
    image = np.full((300, 448, 3), 90, np.uint8)
    lesion = rectangle(slice(100, 150), slice(100, 200)) > 0
    found = answer("no_tumor", 0.9, rectangle(slice(200, 250), slice(300, 400)))
    figure = worst_figure({MISSED: [Shown.small(image, found, lesion)], ALARM: []})
    assert said(figure) == [TRUE, FOUND]
    for axes in figure.axes:
        lines = axes.collections  # rim and line of the true outline, then of the predicted one
        colors = [to_hex(line.get_edgecolor()[0]) for line in lines]
        assert colors == [to_hex(stroke["color"]) for stroke in (*TRUE_LINE, *FOUND_LINE)]
        right = [line.get_paths()[0].vertices[:, 0].max() for line in lines]
        assert right == [99.5, 99.5, *right[2:]] and all(198.5 < edge < 200 for edge in right[2:])
        assert [line.get_linestyle()[0][1] is None for line in lines] == [True, True, True, False]


def test_legend_says_what_is_drawn():
    image, nothing = np.full((300, 448, 3), 90, np.uint8), np.zeros((300, 448), bool)
    known, unknown = (Shown.small(image, answer("glioma", 0.1, rectangle(0, 0)), each) for each in (~nothing, nothing))
    without = Shown.small(image, answer("glioma", 0.1), ~nothing)
    assert said(worst_figure({ALARM: [unknown]})) == [FOUND]
    assert said(worst_figure({ALARM: [unknown, known]})) == [TRUE, FOUND]
    assert said(worst_figure({ALARM: [without]})) == [], "a network without a lesion head"
