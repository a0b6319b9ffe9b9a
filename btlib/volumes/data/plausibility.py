"""Checks the assumed numbering of a set's segmentations against the scans.

Oedema is in the outer part of the tumour and bright on FLAIR; enhancing tumour takes up contrast and surrounds the
core. Each of these is evidence for or against a numbering; the evidence of all cases of a set decides. A case that
clearly fits another known convention is named, since its file may come from another set.
"""

from collections.abc import Mapping, Sequence
from itertools import permutations, product

import numpy as np

from btlib.core.runtime.errors import InputError
from btlib.volumes.data.label_signs import MIN_VOXELS, Signs
from btlib.volumes.data.labels import CONVENTIONS, EDEMA, ENHANCING, NECROTIC_CORE, numbering, spelled

Case = dict[int, Signs]
TISSUES = (NECROTIC_CORE, EDEMA, ENHANCING)
MAX_NUMBERS = 4  # in a set, for all meanings to be tried
BRIGHT = 1.0  # standard deviations of the normal brain above which FLAIR and uptake are evidence for a tissue
CLEAR = 0.25  # lead of one numbering over another that decides


def check_numbering(assumed: str, layout: Sequence[str], cases: Sequence[Case]) -> list[str]:
    """Compares the assumed numbering of a set with all other possible ones.

    Args:
        assumed: as in the manifest.
        layout: numberings that sets of this layout may have.
        cases: the signs of each segmentation.

    Returns:
        A warning if the scans are inconclusive, or nothing.

    Raises:
        InputError: another numbering fits better, or about as well.
    """
    cases = [case for case in cases if len(case) > 1]
    numbers = sorted(set().union(*cases))
    reading = f"the labels are read as {_described(assumed)}"
    if not cases:
        return [
            f"{reading}; no segmentation has two numbers with {MIN_VOXELS} voxels each, so the scans cannot confirm "
            "it: check it, and set volumes.labels in params.yaml"
        ]
    if len(numbers) > MAX_NUMBERS:
        return []
    best, lead = _rival(assumed, _alternatives(assumed, layout, numbers), cases)
    if lead < -CLEAR:
        return []
    doubt = (
        f"{reading}, but {_described(best)} fits the scans {'better' if lead > CLEAR else 'about as well'} "
        f"({_summary(cases, numbers)}); set the right one in params.yaml, volumes.labels: {_in_params(best)} or "
        f"{_in_params(assumed)}"
    )
    if lead > 0:
        raise InputError(f"{doubt}. If t1 and t1ce are swapped, correct that instead")
    return [doubt]


def contradictions(assumed: str, layout: Sequence[str], cases: Mapping[str, Case]) -> list[str]:
    """A remark on each case whose own scans clearly fit another convention than that of its set.

    A single tumour may look untypical: if a numbering that no data set has fits best, the case proves nothing.

    Args:
        assumed, layout: see `check_numbering`.
        cases: path of each segmentation -> its signs.
    """
    return [fault for path, case in cases.items() for fault in _contradiction(assumed, layout, path, case)]


def _contradiction(assumed: str, layout: Sequence[str], path: str, case: Case) -> list[str]:
    if not 1 < len(case) <= MAX_NUMBERS:
        return []
    best, lead = _rival(assumed, _alternatives(assumed, layout, sorted(case)), [case])
    if lead <= CLEAR or best not in CONVENTIONS:
        return []
    return [
        f"{path}: the labels of its set are read as {_described(assumed)}, but {_described(best)} fits the scans of "
        f"this case better ({_summary([case], sorted(case))}); overlay it on the scans, and renumber the "
        "file if that is so"
    ]


def _rival(assumed: str, others: Sequence[str], cases: Sequence[Case]) -> tuple[str, float]:
    """Which of `others` fits the cases best, and its lead over the assumed numbering."""
    fits = {name: float(np.mean([fit(case, name) for case in cases])) for name in (assumed, *others)}
    best = max(others, key=fits.__getitem__)
    return best, fits[best] - fits[assumed]


def fit(case: Case, labels: str) -> float:
    """Score of a numbering for a case; only differences between numberings are meaningful."""
    tissues = {number: _tissue(label) for number, label in numbering(labels).items()}
    bright = sum(np.tanh(signs.flair - BRIGHT) for number, signs in case.items() if tissues[number] == EDEMA)
    pairs = (_pair_score(case, one, other, tissues) for one, other in permutations(case, 2))
    return float(0.5 * bright + sum(pairs))


def _pair_score(case: Case, one: int, other: int, tissues: dict[int, int]) -> float:
    """Evidence of number `one`, relative to number `other`, for its tissue."""
    here, there = case[one], case[other]
    match tissues[one], tissues[other]:
        case first, second if first == second:
            return 0.0
        case first, _ if first == EDEMA:
            return np.tanh(there.depth - here.depth)
        case first, _ if first == ENHANCING:
            return np.tanh(2 * (here.uptake - there.uptake - BRIGHT))
        case _, second if second == ENHANCING:
            return 0.5 * (here.touching.get(other, 0.0) - there.touching.get(one, 0.0))
    return 0.0


def _alternatives(assumed: str, layout: Sequence[str], numbers: Sequence[int]) -> list[str]:
    """The layout's numberings, and all with as many different tissues as possible."""
    known = [name for name in (*layout, *CONVENTIONS) if set(numbers) <= set(numbering(name))]
    names = {_meaning(name, numbers): name for name in reversed(known)}  # the first of those with the same meaning
    tried = {_meaning(name, numbers) for name in known if name in layout}
    tried |= {
        meaning
        for meaning in product(TISSUES, repeat=len(numbers))
        if len(set(meaning)) == min(len(numbers), len(TISSUES))
    }
    return [
        names.get(meaning, spelled(dict(zip(numbers, meaning, strict=True))))
        for meaning in sorted(tried - {_meaning(assumed, numbers)})
    ]


def _meaning(labels: str, numbers: Sequence[int]) -> tuple[int, ...]:
    return tuple(_tissue(numbering(labels)[number]) for number in numbers)


def _tissue(label: int) -> int:
    """The tissue of a label; a cavity, which counts as background, looks like a core."""
    return label or NECROTIC_CORE


def _summary(cases: Sequence[Case], numbers: Sequence[int]) -> str:
    """Median signs of each number over the cases."""
    found = []
    for number in numbers:
        signs = [case[number] for case in cases if number in case]
        depth, uptake, flair = np.median([(one.depth, one.uptake, one.flair) for one in signs], axis=0)
        found.append(f"{number} at {depth:.1f} of the mean depth, contrast uptake {uptake:+.1f}, FLAIR {flair:+.1f}")
    return f"in {len(cases)} case(s), brightness in SD of the normal brain: {'; '.join(found)}"


def _described(labels: str) -> str:
    return f"{labels} ({spelled(numbering(labels))})" if labels in CONVENTIONS else labels


def _in_params(labels: str) -> str:
    """A numbering as in params.yaml."""
    if labels in CONVENTIONS:
        return labels
    return "{" + spelled(numbering(labels)).replace(" ", ": ").replace(",:", ",") + "}"
