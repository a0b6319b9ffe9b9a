"""How classes, titles, predictions and explanations are put in figures and beside them."""

from collections.abc import Mapping

from btlib.core.metrics.predictions import Predictions


def spoken(class_name: str) -> str:
    """'no_tumor' as 'no tumor'."""
    return class_name.replace("_", " ")


def titled(title: str, note: str) -> str:
    """The title, with the note behind a dash when there is one."""
    return f"{title} – {note}" if note else title


def bullets(sentences: Mapping[str, str]) -> str:
    """A Markdown list with a line `- name: sentence` for each, or the empty text."""
    return "".join(f"- {line}\n" for line in named_lines(sentences))


def named_lines(sentences: Mapping[str, str]) -> list[str]:
    """'name: sentence' for each."""
    return [f"{name}: {sentence}" for name, sentence in sentences.items()]


def caption(predictions: Predictions, number: int) -> str:
    """What was predicted for row `number`, how surely, and whether that is right: '✗ no tumor 73.4%'."""
    sign = "✓" if predictions.correct[number] else "✗"
    said = spoken(predictions.classes[predictions.predicted[number]])
    return f"{sign} {said} {predictions.confidence[number]:.1%}"
