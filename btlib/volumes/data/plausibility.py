"""Whether the numbers of a set's segmentations stand for the tissues that they are taken for, by what the scans show.

Oedema lies outside in the tumour and is bright in FLAIR; enhancing tumour takes up contrast and lies around the core.
Each of these speaks for or against a numbering; what the cases of a set say together decides.
"""

from collections.abc import Sequence
from itertools import permutations, product

import numpy as np

from btlib.core.runtime.errors import InputError
from btlib.volumes.data.label_signs import FEWEST, Signs
from btlib.volumes.data.labels import CONVENTIONS, EDEMA, ENHANCING, NECROTIC_CORE, numbering, spelled

Case = dict[int, Signs]
TISSUES = (NECROTIC_CORE, EDEMA, ENHANCING)
MOST = 4  # numbers in a set, of which every meaning is tried
BRIGHT = 1.0  # standard deviations of the normal brain, from where on FLAIR and uptake speak for a tissue
CLEAR = 0.25  # lead of one numbering over another, from where on it decides


def check_numbering(assumed: str, layout: Sequence[str], cases: Sequence[Case]) -> list[str]:
    """Compares the numbering that a set is taken to have with all others that its numbers could have.

    Args:
        assumed: as in the manifest.
        layout: the numberings that sets of this layout may have.
        cases: the signs of each segmentation.

    Returns:
        a warning where the scans do not tell, or nothing.

    Raises:
        InputError: another numbering fits better, or about as well.
    """
    cases = [case for case in cases if len(case) > 1]
    numbers = sorted(set().union(*cases))
    taken = f"the labels are read as {_described(assumed)}"
    if not cases:
        return [
            f"{taken}; no segmentation has two numbers with {FEWEST} voxels each, so the scans cannot tell whether "
            "that is right: check it, and write it to volumes.labels in params.yaml"
        ]
    if len(numbers) > MOST:
        return []
    fits = {name: float(np.mean([fit(case, name) for case in cases])) for name in _others(assumed, layout, numbers)}
    best = max(fits, key=fits.__getitem__)
    lead = fits[best] - float(np.mean([fit(case, assumed) for case in cases]))
    if lead < -CLEAR:
        return []
    told = (
        f"{taken}, but {_described(best)} fits the scans {'better' if lead > CLEAR else 'about as well'} "
        f"({_seen(cases, numbers)}); write to params.yaml what is right, volumes.labels: {_written(best)} or "
        f"{_written(assumed)}"
    )
    if lead > 0:
        raise InputError(f"{told}. Where t1 and t1ce have changed places, correct that instead")
    return [told]


def fit(case: Case, labels: str) -> float:
    """How well a case fits a numbering; of interest is the difference between two numberings."""
    tissues = {number: _tissue(label) for number, label in numbering(labels).items()}
    bright = sum(np.tanh(signs.flair - BRIGHT) for number, signs in case.items() if tissues[number] == EDEMA)
    pairs = (_of_two(case, one, other, tissues) for one, other in permutations(case, 2))
    return float(0.5 * bright + sum(pairs))


def _of_two(case: Case, one: int, other: int, tissues: dict[int, int]) -> float:
    """What number `one` says for its tissue beside number `other`."""
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


def _others(assumed: str, layout: Sequence[str], numbers: Sequence[int]) -> list[str]:
    """The layout's numberings, and all in which as many tissues occur as can."""
    known = [name for name in (*layout, *CONVENTIONS) if set(numbers) <= set(numbering(name))]
    names = {_meaning(name, numbers): name for name in reversed(known)}  # of one meaning the first
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
    """A cavity, which counts as background, lies and looks as a core does."""
    return label or NECROTIC_CORE


def _seen(cases: Sequence[Case], numbers: Sequence[int]) -> str:
    """The signs of each number, medians over the cases."""
    found = []
    for number in numbers:
        signs = [case[number] for case in cases if number in case]
        depth, uptake, flair = np.median([(one.depth, one.uptake, one.flair) for one in signs], axis=0)
        found.append(f"{number} at {depth:.1f} of the mean depth, contrast uptake {uptake:+.1f}, FLAIR {flair:+.1f}")
    return f"in {len(cases)} case(s), brightness in SD of the normal brain: {'; '.join(found)}"


def _described(labels: str) -> str:
    return f"{labels} ({spelled(numbering(labels))})" if labels in CONVENTIONS else labels


def _written(labels: str) -> str:
    """As params.yaml has it."""
    if labels in CONVENTIONS:
        return labels
    return "{" + spelled(numbering(labels)).replace(" ", ": ").replace(",:", ",") + "}"
