from btlib.report.figures.numbers import SHARE, spoken
from btlib.report.figures.wording import caption


def test_a_caption_says_what_how_surely_and_whether_right(predictions):
    right, wrong = predictions.correct.nonzero()[0][0], (~predictions.correct).nonzero()[0][0]
    name = predictions.classes[predictions.labels[right]]
    assert caption(predictions, right) == f"✓ {spoken(name)} {SHARE.said(predictions.confidence[right])}"
    assert caption(predictions, wrong).startswith("✗ ")
