"""Titles, captions and lists in figures and beside them."""

from collections.abc import Mapping

from btlib.core.metrics.metric import Metric
from btlib.core.metrics.predictions import Predictions
from btlib.report.figures.numbers import GLUE, SHARE, Score, spoken


def scores_of(metrics: Mapping[str, Metric]) -> dict[str, Score]:
    """How each metric is written, by its name."""
    return {
        name: Score(one.title, one.digits, 100.0 if one.unit == "%" else 1.0, one.unit and f"{GLUE}{one.unit}")
        for name, one in metrics.items()
    }


def named_lines(sentences: Mapping[str, str]) -> list[str]:
    """'name: sentence' for each."""
    return [f"{name}: {sentence}" for name, sentence in sentences.items()]


def caption(predictions: Predictions, number: int) -> str:
    """The class predicted for row `number` with its probability, ✓ where it is right: '✗ no tumor 73.4 %'."""
    sign = "✓" if predictions.correct[number] else "✗"
    said = spoken(predictions.classes[predictions.predicted[number]])
    return f"{sign} {said} {SHARE.said(predictions.confidence[number])}"
