"""Which MRI contrast a file name or the description of a series speaks of, in the languages of the field.

English, German, French, Spanish, Portuguese, Italian, Dutch, Chinese and Japanese, without their accents and capitals.
A word such as "no" or "w/o" says something of the next word alone: "C+ NON FS" is with contrast.
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
BESIDE = {"c", "iv", "inj", "dye", "agent", "con"}  # an agent only beside a word that says with or without
WITHOUT = {"w/o", "w/out", "wo", "without", "sans", "ohne", "sin", "sem", "senza", "zonder"}
NOT = {"no", "non", "not", "kein", "keine", "nicht", "niet", "geen", "nao", "pas", "un", "o", "s/", "s"}
WITH = {"w/", "with", "mit", "avec", "con", "com", "met", "c/"}
BEFORE = {"pre", "before", "vor", "avant", "antes", "prima", "voor"}
AFTER = {"post", "after", "nach", "apres", "despues", "pos", "depois", "dopo"}
ALONE = {"pre", "post", "pos"}  # which need no agent beside them
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
}  # before or after which a scan may be made too
FILLERS = {"the", "any", "of", "iv", "i", "v", "de", "del", "du", "d", "di", "da", "do", "la", "le", "el", "il", "der"}
JOINTS = {"and", "und", "et", "y", "e", "en", "&", "/", "or"}  # as in "with and without"

# Not divided into words: what they say is put into English
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
    """weighting: t1, t2, flair, OTHER, or None where the words do not say or contradict each other; contrast: whether
    with a contrast agent, None where they do not say or contradict each other."""

    weighting: str | None
    contrast: bool | None


def spoken(text: str) -> Words:
    """Reads 'Case7_T1-Gd', 'Ax T2 FLAIR', 'AX T1 W/O CONTRAST', 'sub-01_ce-gadolinium_T1w' and the like."""
    words = [part for word in WORD.findall(_plain(text)) for part in _parts(word)]
    t1 = [match for match in map(T1.fullmatch, words) if match]
    said = {*_said_of_contrast(words)}
    said |= {True for match in t1 if match["contrast"]} | {False for match in t1 if match["native"]}
    return Words(_weighting(words, bool(t1)), said.pop() if len(said) == 1 else None)


def without_agent(text: str) -> bool:
    """Whether the name of an agent says that there was none: 'NONE', 'ohne', 'no contrast', '0'."""
    words = WORD.findall(_plain(text))
    return not words or words[0] in WITHOUT | NOT | {"none", "n", "na", "nil", "null", "false", "0", "keines", "aucun"}


def _plain(text: str) -> str:
    """Small letters without accents, wide letters made narrow, PHRASES put into English."""
    folded = "".join(
        letter for letter in unicodedata.normalize("NFKD", text.casefold()) if not _is_latin_accent(letter)
    )
    plain = unicodedata.normalize("NFKC", folded)
    for phrase, words in PHRASES.items():
        plain = re.sub(phrase, words, plain)
    return plain


def _is_latin_accent(letter: str) -> bool:
    return "\u0300" <= letter <= "\u036f"  # not the marks of kana, which tell letters apart


def _parts(word: str) -> list[str]:
    """'precontrast' and 'ohnekm' in two words, others as they are."""
    for first in WITHOUT | NOT | BEFORE | AFTER | WITH | {"m"}:
        rest = word.removeprefix(first)
        if rest != word and rest in AGENT | {"con"} and (len(first) > 1 or rest == "km"):
            return [first, rest]
    return [word]


def _said_of_contrast(words: list[str]) -> Iterator[bool]:
    """What each word says of a contrast agent, if anything."""
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
            place += bool(follower)  # said of another word: "NON FS"
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
        return "t1" if t1 and not t2 else "flair"  # 'T1 FLAIR' is weighted as T1
    return None if t1 == t2 else "t1" if t1 else "t2"
