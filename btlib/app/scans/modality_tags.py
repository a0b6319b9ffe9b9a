"""Modality and contrast agent of a DICOM series from its tags.

Their text may contain anything about a patient; it is searched for words, never quoted.
"""

from collections.abc import Mapping
from typing import Any

from btlib.app.scans.modality_words import OTHER, Words, spoken, without_agent

TIMES = ["EchoTime", "RepetitionTime", "InversionTime"]  # ms
AGENT = ["ContrastBolusAgent", "ContrastBolusIngredient"]
DOSES = ["ContrastBolusVolume", "ContrastBolusTotalDose", "ContrastFlowRate", "ContrastBolusIngredientConcentration"]
CLOCK = ["ContrastBolusStartTime", "AcquisitionTime"]  # HHMMSS
TEXTS = ["SeriesDescription", "ProtocolName"]
EVIDENCE = [*TEXTS, *TIMES, *AGENT, *DOSES, *CLOCK, "ScanningSequence", "SequenceName"]  # all tags read here


def words_of(tags: Mapping[str, Any]) -> tuple[Words, str]:
    """Modality of a series by its description, protocol name and times, and which of them indicate it.

    The weighting is None if words and times contradict each other.
    """
    words, by = spoken(_text(tags, "SeriesDescription")), "description"
    if words.weighting is None:
        protocol = spoken(_text(tags, "ProtocolName"))
        by = "description" if protocol.weighting is None else "protocol name"
        words = Words(protocol.weighting, protocol.contrast if words.contrast is None else words.contrast)
    timed = None if words.weighting == OTHER else weighting_by_times(tags)
    if words.weighting and timed and words.weighting != timed:
        return Words(None, words.contrast), f"its {by} and its times contradict each other"
    evidence = [f"its {by}"] * bool(words.weighting) + ["its times"] * bool(timed)
    return words._replace(weighting=words.weighting or timed), " and ".join(evidence)


def agent_of(tags: Mapping[str, Any]) -> bool | None:
    """Whether a contrast agent had been given when the series was acquired; None if no tag says so."""
    names = [text for text in (_text(tags, name) for name in AGENT) if text]
    if names and all(map(without_agent, names)):
        return False
    if not names and not any(number(tags, name) > 0 for name in DOSES):
        return None
    injected, acquired = (number(tags, name) for name in CLOCK)
    return not injected > acquired > 0  # the agent may be recorded before it is given


def weighting_by_times(tags: Mapping[str, Any]) -> str | None:
    """Weighting by times (ms), only in unequivocal cases: spin echo and MPRAGE for T1, fluid inversion for FLAIR."""
    echo, repetition, inversion = (number(tags, name) for name in TIMES)
    sequences = f"{tags.get('ScanningSequence') or ''} {tags.get('SequenceName') or ''}".upper()
    if not echo or not repetition or "EP" in sequences:
        return None  # echo-planar: diffusion or perfusion
    if echo >= 60:
        return "flair" if inversion >= 1500 else None if inversion else "t2"
    if echo < 20 and (repetition <= 1200 or 400 <= inversion <= 1400):
        return "t1"
    return None


def _text(tags: Mapping[str, Any], name: str) -> str:
    return str(tags.get(name) or "").strip()


def number(tags: Mapping[str, Any], name: str) -> float:
    """A tag as a number; 0 if it is missing, empty or not a number."""
    try:
        return float(str(tags.get(name) or 0))
    except ValueError:
        return 0.0
