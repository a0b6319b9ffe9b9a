"""Assigns a case's volumes to modalities: the evidence, its ranking, and the reasons for refusal.

The user's statement (`case.json`, `--t1 … --flair`, a list of cases) overrides names and tags. T1ce is distinguished
from T1 by words, by the DICOM tags on the agent, and by the image itself, which is brighter in vessels and lesion. If
two of them disagree, or only the image is available, the case is refused with advice on what to state.

The web page calls `case_files.proposals(folder)` for a list of `Proposal`, one per volume of an upload, even if
`find_cases` or `read_scans` refuse it, and writes a visitor's choice with `stated.state(folder, {"t1": proposal.file,
…})`, which `find_cases` and `read_scans` then follow. `Scans.sources` and `CaseAnswer.sources` record the outcome.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from pathlib import PurePosixPath
from typing import NamedTuple

from btlib.app.scans.enhancement import SAME, UNDECIDED, Enhancement
from btlib.app.scans.modality_words import OTHER, Words
from btlib.app.scans.stated import NAME
from btlib.core.runtime.errors import InputError, brief, listed
from btlib.volumes.data.conventions import MODALITIES
from btlib.volumes.data.reading import CHANNEL

NAMES = {"t1": "T1", "t1ce": "T1 with contrast", "t2": "T2", "flair": "FLAIR"}


class Source(NamedTuple):
    """The volume used for a modality. file: relative to the user's path, `file#k` in a 4D file, or the first file of a
    DICOM series; why: a readable phrase, without text from the files."""

    file: str
    why: str


class Proposal(NamedTuple):
    """A candidate volume; modality: the probable one of MODALITIES, or None; why: as in Source."""

    file: str
    modality: str | None
    why: str


class Candidate(NamedTuple):
    """A candidate volume of a case.

    files: relative to the case's root: a NIfTI file, one volume of it as `file#k`, or a DICOM series' slices; words:
    modality by name, description and times; why: the evidence for it; agent: whether the DICOM tags mention a contrast
    agent, None if they are silent; volumes: number in a NIfTI file; fault: why a DICOM series is incomplete.
    """

    files: tuple[str, ...]
    words: Words
    why: str
    agent: bool | None = None
    dicom: bool = False
    volumes: int = 1
    fault: str = ""

    @property
    def file(self) -> str:
        """Its name in tables and messages."""
        return self.files[0]

    @property
    def contrast(self) -> bool | None:
        """With or without contrast by words or, if they are silent, by the tags."""
        return self.agent if self.words.contrast is None else self.words.contrast

    @property
    def modality(self) -> str | None:
        """The probable one of MODALITIES, OTHER, or None."""
        return "t1ce" if self.words.weighting == "t1" and self.contrast else self.words.weighting


class Basis(Enum):
    """Evidence that distinguishes T1ce from T1, the strongest first."""

    STATED = 1
    NAMED = 2  # names or tags of T1ce, without contradiction
    LEFT_OVER = 3  # one is named as native, the other says nothing
    GUESSED = 4  # two T1, neither mentioning contrast


class Choice(NamedTuple):
    """The volume taken for each modality, and why."""

    taken: dict[str, Candidate]
    reasons: dict[str, str]
    basis: Basis

    @property
    def sources(self) -> dict[str, Source]:
        return {name: Source(self.taken[name].file, self.reasons[name]) for name in self.taken}


def choose(case: str, candidates: Sequence[Candidate], stated: Mapping[str, str], by: str = NAME) -> Choice:
    """Chooses one volume per modality.

    Args:
        case: its name, for messages.
        stated: modality -> file, `file#k`, or any file or the folder of a DICOM series; may be incomplete.
        by: where it is stated.

    Raises:
        InputError: a stated volume does not exist; a modality is missing or ambiguous; names and tags contradict each
            other.
    """
    taken = {modality: _find_stated(case, candidates, modality, file, by) for modality, file in stated.items()}
    reasons = dict.fromkeys(taken, f"stated in {by}")
    doubled = {one.file for one in taken.values()}
    if len(doubled) < len(taken):
        raise InputError(f"case {case}: {by} names one volume for two modalities; name four different ones")
    free = [one for one in candidates if one.file not in doubled]
    basis = Basis.STATED
    if not {"t1", "t1ce"} <= set(taken):
        basis = _add_t1s(free, taken)
    for modality in ("t2", "flair"):
        alike = [one for one in free if one.modality == modality]
        if modality not in taken and len(alike) == 1:
            taken[modality] = alike[0]
    if len(taken) < len(MODALITIES):
        raise InputError(_missing_or_ambiguous(case, candidates, free, taken))
    reasons = {name: reasons.get(name) or taken[name].why for name in MODALITIES}
    choice = Choice({name: taken[name] for name in MODALITIES}, reasons, basis)
    _refuse_tags_against_words(case, choice)
    return choice


def checked(case: str, choice: Choice, image: Enhancement) -> tuple[Choice, list[str], list[str]]:
    """Checks the choice against the images of T1 and T1ce.

    Returns:
        The choice, with the result added to its reasons; faults; remarks.
    """
    t1, t1ce = choice.taken["t1"].file, choice.taken["t1ce"].file
    if image is SAME:
        return choice, [f"case {case}: {t1} and {t1ce} are the same image; T1 and T1 with contrast are needed"], []
    if choice.basis is Basis.GUESSED or (choice.basis is Basis.LEFT_OVER and image is UNDECIDED):
        first, second = (t1, t1ce) if image is not Enhancement.AGAINST else (t1ce, t1)
        suggestion = (
            "the images are inconclusive" if image is UNDECIDED else f"by the images it is {second}, which is brighter"
        )
        return (
            choice,
            [
                f"case {case}: unclear which of {t1} and {t1ce} was acquired with contrast; {suggestion}. "
                + _how_to_state(choice, first, second)
            ],
            [],
        )
    if image is Enhancement.AGAINST:
        against = f"vessels and lesion are brighter in {t1}, taken for T1, than in {t1ce}, taken for T1 with contrast"
        if choice.basis is Basis.STATED:
            return choice, [], [f"as stated, but {against}"]
        return choice, [f"case {case}: {against} ({choice.reasons['t1ce']}). " + _how_to_state(choice, t1ce, t1)], []
    agrees = "the image agrees" if image is Enhancement.FOR else "the images are inconclusive"
    reasons = choice.reasons | {"t1ce": f"{choice.reasons['t1ce']}; {agrees}"}
    return choice._replace(reasons=reasons), [], []


def proposals_of(candidates: Iterable[Candidate]) -> list[Proposal]:
    """All candidates, the likeliest first; each volume of a 4D file separately."""
    found = [
        Proposal(f"{one.file}#{number}" if one.volumes > 1 else one.file, _one_of_four(one), one.why)
        for one in candidates
        for number in range(one.volumes)
    ]
    order = [*MODALITIES, None]
    return sorted(found, key=lambda one: (order.index(one.modality), one.file))


def _one_of_four(candidate: Candidate) -> str | None:
    return candidate.modality if candidate.modality in MODALITIES else None


def _find_stated(case: str, candidates: Sequence[Candidate], modality: str, file: str, by: str) -> Candidate:
    wanted = str(PurePosixPath(file))
    match = CHANNEL.fullmatch(wanted)
    for one in candidates:
        if wanted in one.files:
            return one
        if match and one.volumes > 1 and match["file"] == one.file:
            return one._replace(files=(wanted,), volumes=1)
    inside = [one for one in candidates if one.dicom and PurePosixPath(one.file).is_relative_to(wanted)]
    if len(inside) == 1:
        return inside[0]
    what = f"the folder of {len(inside)} series; name the first file of one" if inside else "not a volume of the case"
    seen = listed([_described(one) for one in candidates])
    raise InputError(f"case {case}: {by}: {modality} is {brief(ascii(file))}, {what}. The volumes are:\n{seen}")


def _add_t1s(free: Sequence[Candidate], taken: dict[str, Candidate]) -> Basis:
    """Adds T1 and T1ce where they can be distinguished; returns the evidence."""
    t1s = [one for one in free if one.words.weighting == "t1"]
    given: dict[bool | None, list[Candidate]] = {True: [], False: [], None: []}
    for one in t1s:
        given[one.contrast].append(one)
    native = given[False] + given[None]
    if "t1" in taken or "t1ce" in taken:
        for name, found in (("t1", native), ("t1ce", given[True])):
            if name not in taken and len(found) == 1:
                taken[name] = found[0]
        return Basis.NAMED
    if len(t1s) != 2:
        return Basis.NAMED
    if len(given[True]) == 1:
        taken |= {"t1": native[0], "t1ce": given[True][0]}
        return Basis.NAMED
    if len(given[None]) == 1 and given[False]:
        taken |= {"t1": given[False][0], "t1ce": given[None][0]}
        return Basis.LEFT_OVER
    if len(given[None]) == 2:
        taken |= {"t1": t1s[0], "t1ce": t1s[1]}
    return Basis.GUESSED


def _refuse_tags_against_words(case: str, choice: Choice) -> None:
    """Raises InputError if the tags of the volume called T1 suggest a contrast agent more than those of T1ce."""
    rank = {False: 0, None: 1, True: 2}
    t1, t1ce = choice.taken["t1"], choice.taken["t1ce"]
    if choice.basis is not Basis.STATED and rank[t1.agent] > rank[t1ce.agent]:
        raise InputError(
            f"case {case}: {t1ce.file} is with contrast by its description and {t1.file} without, but their tags say "
            "the reverse. " + _how_to_state(choice, t1.file, t1ce.file)
        )


def _how_to_state(choice: Choice, t1: str, t1ce: str) -> str:
    """Advice on stating the modalities, by file or by options."""
    stated = {"t1": t1, "t1ce": t1ce, **{name: choice.taken[name].file for name in ("t2", "flair")}}
    return (
        f"If that is right, write a {NAME} in the folder: {json.dumps(stated, ensure_ascii=False)}, or give all four "
        "with --t1, --t1ce, --t2 and --flair"
    )


def _missing_or_ambiguous(
    case: str, candidates: Sequence[Candidate], free: Sequence[Candidate], taken: Mapping[str, Candidate]
) -> str:
    kinds = [one.modality for one in free]
    likeliest = sorted(candidates, key=lambda one: [*MODALITIES, None, OTHER].index(one.modality))
    counts = {name: kinds.count(name) + (name in taken and taken[name] not in free) for name in MODALITIES}
    return (
        f"case {case}: expected one volume of each modality, found "
        f"{', '.join(f'{count} of {name}' for name, count in counts.items())}. Leave one of each in the folder, or "
        f"write a {NAME} there that names them, such as {json.dumps(dict.fromkeys(MODALITIES, 'FILE'))}, or give "
        f"{' '.join(f'--{name} FILE' for name in MODALITIES)}. {_hint(candidates)}The volumes are:\n"
        f"{listed([_described(one) for one in likeliest]) or '  - none'}"
    )


def _hint(candidates: Sequence[Candidate]) -> str:
    stacks = [one.file for one in candidates if one.volumes > 1]
    if stacks:
        return f"The volumes of a 4D file are counted from 0, as in {stacks[0]}#0. "
    if len(candidates) == 1 and candidates[0].dicom:
        return "To predict the slices of one series as single images, give --as images. "
    return ""


def _described(candidate: Candidate) -> str:
    more = f" and {len(candidate.files) - 1} more" if len(candidate.files) > 1 else ""
    what = {None: "not recognised", OTHER: "another kind"}.get(candidate.modality, candidate.modality)
    return f"{candidate.file}{more}: {what} ({candidate.why})"
