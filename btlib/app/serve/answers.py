"""Predictions in the page's format, with explanations."""

from collections.abc import Mapping, Sequence
from typing import Any

from btlib.app.predict.cases import CaseAnswer
from btlib.app.predict.slices import SliceAnswer
from btlib.report.figures.wording import spoken
from btlib.volumes.data.conventions import REGION_NAMES

GRADE_NAMES = {"LGG": "low-grade glioma", "HGG": "high-grade glioma"}
UNLIKE = "unlike the model's training images, so its answer is unreliable"


def slice_answer(answer: SliceAnswer, card: Mapping[str, Any], no_mri: str) -> dict[str, Any]:
    """The answer for one image, without pictures; `lesion_share` is None without a lesion head.

    Args:
        card: the model's.
        no_mri: why the file cannot be MRI, or ''.
    """
    names = {name: spoken(name) for name in answer.probabilities}
    strange = [UNLIKE] * answer.unfamiliar + [no_mri] * bool(no_mri)
    decision = _decision(answer, answer.label, names, card, strange)
    return {"kind": "slice", "lesion_share": answer.lesion_share, **decision}


def case_answer(answer: CaseAnswer, card: Mapping[str, Any], moved: Sequence[str]) -> dict[str, Any]:
    """The answer for one case, without scans and maps.

    Without a grading head, `said` and the probabilities are empty; without a segmentation head, the volumes.

    Args:
        card: the model's.
        moved: remarks on scans resampled to a common grid.
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
    """Fields on the predicted class or grade (`said`); `strange`: why the input is unfamiliar."""
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
        return f"at any confidence, more than {error_rate:.0%} of this model's validation answers were wrong"
    return (
        f"{confidence:.1%} is less than {threshold:.1%}, the confidence above which at most {error_rate:.0%} of the "
        "validation answers were wrong"
    )


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + ("" if text[-1] in ".?!" else ".")
