"""Answers in the form that the page reads, with the words that explain them."""

from collections.abc import Mapping, Sequence
from typing import Any

from btlib.app.predict.cases import CaseAnswer
from btlib.app.predict.slices import SliceAnswer
from btlib.report.figures.wording import spoken
from btlib.volumes.data.conventions import REGION_NAMES

GRADE_NAMES = {"LGG": "low-grade glioma", "HGG": "high-grade glioma"}
UNLIKE = "not like the images that the model was trained on, so that its answer means little"


def slice_answer(answer: SliceAnswer, card: Mapping[str, Any], no_mri: str) -> dict[str, Any]:
    """All of it but the pictures.

    Args:
        card: the model's.
        no_mri: why the file cannot be MRI, or nothing.
    """
    names = {name: spoken(name) for name in answer.probabilities}
    strange = [UNLIKE] * answer.unfamiliar + [no_mri] * bool(no_mri)
    return {"kind": "slice", **_decision(answer, answer.label, names, card, strange)}


def case_answer(answer: CaseAnswer, card: Mapping[str, Any], moved: Sequence[str]) -> dict[str, Any]:
    """All of it but the scans and maps.

    A network that does not grade leaves `said` and the probabilities empty, one that does not segment the volumes.

    Args:
        card: the model's.
        moved: what had to be done to bring the scans onto one grid.
    """
    decision = _decision(answer, answer.grade, GRADE_NAMES, card, answer.remarks)
    decision["doubts"] += map(_sentence, moved)
    volumes = [{"name": REGION_NAMES[name], "ml": ml} for name, ml in answer.volumes_ml.items()]
    sources = [{"modality": name, **source._asdict()} for name, source in answer.sources.items()]
    return {"kind": "case", "volumes": volumes, "sources": sources, **decision}


def _decision(
    answer: SliceAnswer | CaseAnswer,
    said: str | None,
    names: Mapping[str, str],
    card: Mapping[str, Any],
    strange: Sequence[str],
) -> dict[str, Any]:
    """`said` is the class or grade, `strange` why the input is unfamiliar."""
    unsure = [f"unsure: {_below(answer.confidence, **card['unsure'])}"] if answer.unsure else []
    return {
        "said": said and names[said],
        "confidence": answer.confidence,
        "probabilities": [{"name": names[name], "p": p} for name, p in (answer.probabilities or {}).items()],
        "unsure": bool(answer.unsure),
        "unfamiliar": bool(strange),
        "doubts": [_sentence(text) for text in [*(f"unfamiliar: {reason}" for reason in strange), *unsure]],
    }


def _below(confidence: float, threshold: float, error_rate: float, **_: Any) -> str:
    if threshold > 1:
        return f"whatever the confidence, more than {error_rate:.0%} of this model's validation answers were wrong"
    return (
        f"{confidence:.1%} is less than {threshold:.1%}, the confidence from which on at most {error_rate:.0%} of the "
        "validation answers were wrong"
    )


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + ("" if text[-1] in ".?!" else ".")
