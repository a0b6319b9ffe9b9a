"""What the tags of a DICOM series say of its modality and of a contrast agent.

Their text may hold anything about a patient; it is looked through for words, and never quoted.
"""

from collections.abc import Mapping
from typing import Any

from btlib.app.scans.modality_words import OTHER, Words, spoken, without_agent

TIMES = ["EchoTime", "RepetitionTime", "InversionTime"]  # ms
AGENT = ["ContrastBolusAgent", "ContrastBolusIngredient"]
DOSES = ["ContrastBolusVolume", "ContrastBolusTotalDose", "ContrastFlowRate", "ContrastBolusIngredientConcentration"]
CLOCK = ["ContrastBolusStartTime", "AcquisitionTime"]  # HHMMSS
TEXTS = ["SeriesDescription", "ProtocolName"]
EVIDENCE = [*TEXTS, *TIMES, *AGENT, *DOSES, *CLOCK, "ScanningSequence", "SequenceName"]  # all that is read here


def words_of(tags: Mapping[str, Any]) -> tuple[Words, str]:
    """What a series is by its description, its protocol's name and its times, and which of them say so.

    Nothing is said of a weighting about which words and times contradict each other.
    """
    words, by = spoken(_text(tags, "SeriesDescription")), "description"
    if words.weighting is None:
        protocol = spoken(_text(tags, "ProtocolName"))
        by = "description" if protocol.weighting is None else "protocol's name"
        words = Words(protocol.weighting, protocol.contrast if words.contrast is None else words.contrast)
    timed = None if words.weighting == OTHER else weighting_by_times(tags)
    if words.weighting and timed and words.weighting != timed:
        return Words(None, words.contrast), f"its {by} and its times contradict each other"
    sayers = [f"its {by}"] * bool(words.weighting) + ["its times"] * bool(timed)
    return words._replace(weighting=words.weighting or timed), " and ".join(sayers)


def agent_of(tags: Mapping[str, Any]) -> bool | None:
    """Whether an agent had been given when the series was made; None where no tag says so."""
    names = [text for text in (_text(tags, name) for name in AGENT) if text]
    if names and all(map(without_agent, names)):
        return False
    if not names and not any(number(tags, name) > 0 for name in DOSES):
        return None
    injected, acquired = (number(tags, name) for name in CLOCK)
    return not injected > acquired > 0  # what will be given may be noted before


def weighting_by_times(tags: Mapping[str, Any]) -> str | None:
    """By times only far from any doubt, in ms: spin echo and MPRAGE for T1, inversion of fluid for FLAIR."""
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
    """0 where the tag is missing, empty, or no number."""
    try:
        return float(str(tags.get(name) or 0))
    except ValueError:
        return 0.0
