"""Which MRI contrast a file name or the description of a series speaks of."""

import re
from typing import NamedTuple

OTHER = "other"  # an image, but none of the four modalities
ANOTHER_KIND = {
    *("adc", "dwi", "dti", "trace", "swi", "swan", "mip", "minip", "perf", "perfusion", "dsc", "dce", "asl", "pwi"),
    *("cbf", "cbv", "mtt", "ttp", "tof", "mra", "angio", "gre", "t2star", "localizer", "localiser", "scout", "survey"),
    *("subtraction", "subtracted", "seg", "mask", "label", "labels", "segmentation", "brainmask"),
}
WITH_CONTRAST = {"ce", "c+", "+c", "gd", "gad", "gado", "gadolinium", "post", "contrast", "km", "postcontrast"}
WITHOUT_CONTRAST = {"pre", "precontrast", "without", "wo", "non", "no", "native", "nativ"}
T1 = re.compile(r"(3d)?t1(w|n)?(?P<contrast>ce|c|gd|gad|gado|post|\+c|c\+|km)?")
T1_SEQUENCES = {"mprage", "bravo", "spgr", "fspgr"}
T2 = re.compile(r"(3d)?t2w?")
FLAIR = re.compile(r".*flair.*|t2f|tirm|darkfluid")


class Words(NamedTuple):
    """weighting: t1, t2, flair, OTHER, or None where the words do not say or contradict each other; contrast: whether
    with a contrast agent, None where they do not say."""

    weighting: str | None
    contrast: bool | None


def spoken(text: str) -> Words:
    """Reads 'Case7_T1-Gd', 'Ax T2 FLAIR', 'sub-01_ce-gadolinium_T1w' and the like."""
    clear = text.lower().replace("t2*", "t2star").replace("dark fluid", "darkfluid").replace("dark-fluid", "darkfluid")
    words = [word for word in re.split(r"[^a-z0-9+]+", clear) if word]
    t1 = [match for match in map(T1.fullmatch, words) if match]
    without = bool(WITHOUT_CONTRAST.intersection(words))
    contrast = bool(WITH_CONTRAST.intersection(words)) or any(match["contrast"] for match in t1)
    return Words(_weighting(words, bool(t1)), False if without else contrast or None)


def _weighting(words: list[str], t1: bool) -> str | None:
    if ANOTHER_KIND.intersection(words):
        return OTHER
    t1 = t1 or bool(T1_SEQUENCES.intersection(words))
    t2 = any(map(T2.fullmatch, words))
    if any(map(FLAIR.fullmatch, words)):
        return "t1" if t1 and not t2 else "flair"  # 'T1 FLAIR' is weighted as T1
    return None if t1 == t2 else "t1" if t1 else "t2"
