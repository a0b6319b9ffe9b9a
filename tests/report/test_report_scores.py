"""Numbers as they are written, on values worked out by hand."""

import pytest

from btlib.report.figures.numbers import Score, count, p_value
from btlib.report.scores import ACCURACY, SCORES

PLAIN = Score("score", 2)


def plain(text):
    """With ordinary spaces."""
    return text.replace("\N{NO-BREAK SPACE}", " ")


def test_a_share_is_written_in_percent_with_its_interval():
    assert plain(ACCURACY.estimate(0.6389, [0.52777, 0.75])) == "63.89 % [52.78, 75.00]"
    assert plain(ACCURACY.spread(0.5, 0.0125)) == "50.00 ± 1.25 %"
    assert plain(ACCURACY.spread(0.5, None)) == "50.00 %"


def test_the_difference_and_its_interval_are_ours_minus_the_papers():
    assert plain(ACCURACY.difference(0.90, 0.9573, [0.87, 0.97])) == "−5.73 [−8.73, +1.27]"
    assert plain(SCORES["ece"].difference(0.0641, 0.0441)) == "+0.0200"
    assert plain(PLAIN.difference(0.5, 0.25, [0.5, 0.5])) == "+0.25 [+0.25, +0.25]"


def test_undefined_values_are_a_dash():
    assert PLAIN.said(None) == "–"
    assert PLAIN.interval(None) == "–"
    assert PLAIN.estimate(None, None) == "–"
    assert PLAIN.spread(None, None) == "–"
    assert PLAIN.difference(None, 0.5, [0, 1]) == "–"
    assert PLAIN.difference(0.5, None, [0, 1]) == "–"


def test_there_is_no_minus_zero():
    assert PLAIN.said(-0.001) == "0.00"
    assert PLAIN.signed(-0.001) == "+0.00"


@pytest.mark.parametrize(("p", "text"), [(None, "–"), (0.0004, "< 0.001"), (0.0396, "0.040"), (1.0, "1.000")])
def test_p_values(p, text):
    assert p_value(p) == text


def test_counts_have_thousands_separators():
    assert count(7023) == "7,023"
