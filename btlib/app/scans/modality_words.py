"""MRI modality from the words of a file name or series description, in several languages.

English, German, French, Spanish, Portuguese, Italian, Dutch, Chinese and Japanese, ignoring accents and case. A word
such as "no" or "w/o" applies to the next word alone: "C+ NON FS" is with contrast.
"""

import re
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

OTHER = "other"  # an image, but none of the four modalities
ANOTHER_KIND = {
    *("adc", "dwi", "dti", "trace", "swi", "swan", "mip", "minip", "perf", "perfusion", "dsc", "dce", "asl", "pwi"),
    *("cbf", "cbv", "mtt", "ttp", "tof", "mra", "angio", "gre", "t2star", "localizer", "localiser", "scout", "survey"),
    *("subtraction", "subtracted", "seg", "mask", "label", "labels", "segmentation", "brainmask"),
}

AGENT = {
    *("contrast", "kontrast", "kontrastmittel", "km", "contraste", "contrasto", "contrastmiddel", "contrastvloeistof"),
    *("mdc", "pdc", "ce", "gd", "gad", "gado", "gadolinium", "gadolinio", "gadavist", "gadovist", "dotarem"),
    *("magnevist", "gespritzt"),
    *("prohance", "multihance", "omniscan", "clariscan", "vueway", "elucirem", "gadobutrol", "gadoterate", "gadoterat"),
    *("gddtpa", "injection", "injektion", "inyeccion", "iniezione", "injecao", "injectie", "injected", "injecte"),
    *("injectee", "inyectado", "enhanced", "enhancement", "enhancing", "rehausse", "verstarkt", "verstaerkt", "realce"),
}
BESIDE = {"c", "iv", "inj", "dye", "agent", "con"}  # an agent only next to a word for with or without
WITHOUT = {"w/o", "w/out", "wo", "without", "sans", "ohne", "sin", "sem", "senza", "zonder"}
NOT = {"no", "non", "not", "kein", "keine", "nicht", "niet", "geen", "nao", "pas", "un", "o", "s/", "s"}
WITH = {"w/", "with", "mit", "avec", "con", "com", "met", "c/"}
BEFORE = {"pre", "before", "vor", "avant", "antes", "prima", "voor"}
AFTER = {"post", "after", "nach", "apres", "despues", "pos", "depois", "dopo"}
ALONE = {"pre", "post", "pos"}  # meaningful without an agent next to them
NATIVE = {
    "native",
    "nativ",
    "natif",
    "natief",
    "nativo",
    "nativa",
    "plain",
    "unenhanced",
    "basal",
    "basale",
    "blanco",
    "simple",
}
EVENTS = {
    *("op", "operative", "operation", "operatoire", "operatorio", "surgery", "surgical", "resection", "biopsy"),
    *("treatment", "therapy", "therapie", "rt", "radiation", "radiotherapy", "chemo", "tx", "processing", "processed"),
}  # "pre" and "post" may refer to these instead
FILLERS = {"the", "any", "of", "iv", "i", "v", "de", "del", "du", "d", "di", "da", "do", "la", "le", "el", "il", "der"}
JOINTS = {"and", "und", "et", "y", "e", "en", "&", "/", "or"}  # as in "with and without"

# Not split into words: replaced by English ones
PHRASES = {
    r"(?:未|无|無|不|非)(?:增强|增強|强化|強化|造影|对比|對比|显影|顯影|注射)|(?:增强|增強|造影|注射)(?:前|なし|無し)"
    r"|平扫|平掃|単純|单纯": " native ",
    r"(?:增强|增強|増強|强化|強化|造影|注射|注药|打药|顯影|显影)(?:后|後|あり|有り|剤)?|ガドリニウム": " enhanced ",
    r"t2\*": " t2star ",
    r"dark[ -]fluid": " darkfluid ",
    r"(?<![a-z])w[ /&+-]{0,3}w/?o(?![a-z])": " with and without ",
    r"(?<![a-z0-9])(?:c|gd|km|gado|ce|iv|contrast)\s?\+|\+\s?(?:c|gd|km|gado|ce|iv|contrast)(?![a-z0-9])": " enhanced ",
    r"(?<![a-z0-9])(?:c|gd|km|gado|ce|iv|contrast)-(?![a-z0-9])"
    r"|(?<=[ _(])-(?:c|gd|km|gado|ce|iv|contrast)(?![a-z0-9])": " native ",
}
WORD = re.compile(r"w/o(?:ut)?(?![a-z])|[wcs]/|&|[a-z0-9+]+")

SEQUENCE = "se|tse|fse|tfe|ffe|tfl|mpr|mprage|mp2rage|spc|space|vibe|flash|bravo|spgr|tra|ax|sag|cor|fs|3d|2d"
T1 = re.compile(
    rf"(?:3d|2d|s|e)?t1(?:wi|w)?(?:{SEQUENCE})*(?P<contrast>ce|c|gd|gad|gado|post|injected|injecte|km|\+c|c\+|\+)?"
    r"|t1w?(?P<native>n|nc|nce|pre|nativ|native)"
)
T1_SEQUENCES = {"mprage", "bravo", "spgr", "fspgr"}
T2 = re.compile(rf"(?:3d|2d|s|e)?t2(?:wi|w)?(?:{SEQUENCE})*")
FLAIR = re.compile(r".*flair.*|t2f|tirm|darkfluid")


class Words(NamedTuple):
    """weighting: t1, t2, flair or OTHER; contrast: whether with a contrast agent; either is None if the words are
    silent or contradictory."""

    weighting: str | None
    contrast: bool | None


def spoken(text: str) -> Words:
    """Parses 'Case7_T1-Gd', 'Ax T2 FLAIR', 'AX T1 W/O CONTRAST', 'sub-01_ce-gadolinium_T1w' and the like."""
    words = [part for word in WORD.findall(_normalize(text)) for part in _split_compound(word)]
    t1 = [match for match in map(T1.fullmatch, words) if match]
    contrast = {*_contrast_mentions(words)}
    contrast |= {True for match in t1 if match["contrast"]} | {False for match in t1 if match["native"]}
    return Words(_weighting(words, bool(t1)), contrast.pop() if len(contrast) == 1 else None)


def without_agent(text: str) -> bool:
    """Whether the agent's name means that there was none: 'NONE', 'ohne', 'no contrast', '0'."""
    words = WORD.findall(_normalize(text))
    return not words or words[0] in WITHOUT | NOT | {"none", "n", "na", "nil", "null", "false", "0", "keines", "aucun"}


def _normalize(text: str) -> str:
    """Lower case without accents, full-width letters made narrow, PHRASES translated."""
    folded = "".join(
        letter for letter in unicodedata.normalize("NFKD", text.casefold()) if not _is_latin_accent(letter)
    )
    plain = unicodedata.normalize("NFKC", folded)
    for phrase, words in PHRASES.items():
        plain = re.sub(phrase, words, plain)
    return plain


def _is_latin_accent(letter: str) -> bool:
    return "\u0300" <= letter <= "\u036f"  # excludes the marks of kana, which distinguish letters


def _split_compound(word: str) -> list[str]:
    """Splits 'precontrast' and 'ohnekm' in two; leaves other words as they are."""
    for first in WITHOUT | NOT | BEFORE | AFTER | WITH | {"m"}:
        rest = word.removeprefix(first)
        if rest != word and rest in AGENT | {"con"} and (len(first) > 1 or rest == "km"):
            return [first, rest]
    return [word]


def _contrast_mentions(words: list[str]) -> Iterator[bool]:
    """Each mention of a contrast agent: True for with, False for without."""
    place = 0
    while place < len(words):
        word, place = words[place], place + 1
        end = place
        while end < len(words) and words[end] in AGENT | BESIDE | FILLERS:
            end += 1
        agent = bool(AGENT.intersection(words[place:end]) or BESIDE.intersection(words[place : place + 1]))
        follower = words[place] if place < len(words) else ""
        if word in WITHOUT | NOT | BEFORE | AFTER | WITH and agent:
            yield word in AFTER | WITH
            place = end
        elif word in ALONE and follower not in EVENTS:
            yield word in AFTER
        elif word in WITHOUT | WITH and (not follower or follower in JOINTS):
            yield word in WITH
        elif word in WITHOUT | NOT | WITH:
            place += bool(follower)  # applies to another word: "NON FS"
        elif word in AGENT:
            yield True
        elif word in NATIVE:
            yield False


def _weighting(words: list[str], t1: bool) -> str | None:
    if ANOTHER_KIND.intersection(words):
        return OTHER
    t1 = t1 or bool(T1_SEQUENCES.intersection(words))
    t2 = any(map(T2.fullmatch, words))
    if any(map(FLAIR.fullmatch, words)):
        return "t1" if t1 and not t2 else "flair"  # 'T1 FLAIR' is T1-weighted
    return None if t1 == t2 else "t1" if t1 else "t2"
