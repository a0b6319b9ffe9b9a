import numpy as np

from btlib.core.metrics.predictions import Predictions
from btlib.images.evaluation.selection import shown_rows


def with_errors(errors: int, size: int = 10) -> Predictions:
    """Two classes of `size` images; the first `errors` of class a are wrong."""
    labels = np.repeat([0, 1], size)
    said = labels.copy()
    said[:errors] = 1
    return Predictions(np.arange(2 * size).astype(object), labels, np.eye(2)[said] * 0.8 + 0.1, ("a", "b"))


def test_errors_come_first_and_take_at_most_half():
    rows = shown_rows(with_errors(7), 6, 0, "x")["a"]
    assert (rows[:3] < 7).all() and (rows[3:] >= 7).all() and len(set(rows)) == 6


def test_errors_fill_up_when_right_rows_run_out():
    rows = shown_rows(with_errors(8), 6, 0, "x")["a"]
    assert (rows < 8).sum() == 4 and len(set(rows)) == 6


def test_rows_are_of_their_class_and_small_classes_are_shown_completely():
    shown = shown_rows(with_errors(2, size=4), 6, 0, "x")
    assert sorted(shown["a"]) == [0, 1, 2, 3] and sorted(shown["b"]) == [4, 5, 6, 7]


def test_the_draw_depends_only_on_the_key():
    first, again, other = (shown_rows(with_errors(0, 50), 6, *key) for key in ((0, "x"), (0, "x"), (1, "x")))
    assert first["a"].tolist() == again["a"].tolist() != other["a"].tolist()
