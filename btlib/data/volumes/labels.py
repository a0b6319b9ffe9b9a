"""Which tissue each number of a segmentation stands for, by the family of sets that it comes from."""

from collections.abc import Sequence

import numpy as np

from btlib.data.volumes.conventions import LABELS
from btlib.errors import InputError

BACKGROUND, CORE, OEDEMA, ENHANCING = (LABELS[name] for name in ("background", "core", "oedema", "enhancing"))
# Number in the file to canonical label. Sets before 2017 had 3 for non-enhancing tumour beside 4 for enhancing; sets
# after treatment (BraTS 2024) have 4 for the cavity of the operation. Both are refused, never guessed at.
CONVENTIONS = {
    "brats": {0: BACKGROUND, 1: CORE, 2: OEDEMA, 4: ENHANCING},  # BraTS 2017 to 2021
    "canonical": {0: BACKGROUND, 1: CORE, 2: OEDEMA, 3: ENHANCING},  # BraTS 2023 on
    "msd": {0: BACKGROUND, 1: OEDEMA, 2: CORE, 3: ENHANCING},  # Medical Segmentation Decathlon, Task01
}
NEAR_WHOLE = 1e-3  # a header's scaling may turn 2 into 1.9999999


def canonical(values: np.ndarray, convention: str, path: str) -> np.ndarray:
    """Numbers of a file to canonical labels.

    Args:
        values: whole numbers [X, Y, Z], of any type.
        convention: a key of CONVENTIONS.
        path: the file, for the message.

    Returns:
        uint8 [X, Y, Z].

    Raises:
        InputError: a number that the convention does not know, or that is not whole.
    """
    fitting(values, (convention,), path)
    numbers, labels = np.rint(values), np.zeros(values.shape, np.uint8)
    for number, label in CONVENTIONS[convention].items():
        labels[numbers == number] = label
    return labels


def fitting(values: np.ndarray, conventions: Sequence[str], path: str) -> list[str]:
    """Those of `conventions` that know every number of the file, in their order.

    Raises:
        InputError: there is none.
    """
    found = np.unique(values[values != 0])  # the background is most of a volume, and 0 everywhere
    numbers = np.rint(found)
    whole = bool((np.abs(found - numbers) < NEAR_WHOLE).all())
    fits = [name for name in conventions if whole and set(numbers) <= set(CONVENTIONS[name])]
    if fits:
        return fits
    strange = [n for n in found if not any(abs(n - k) < NEAR_WHOLE for name in conventions for k in CONVENTIONS[name])]
    known = " or ".join(f"{', '.join(map(str, CONVENTIONS[name]))} ({name})" for name in conventions)
    cavity = " (4 is the cavity of an operation from BraTS 2024 on)" if conventions == ("canonical",) else ""
    raise InputError(
        f"{path}: label {', '.join(f'{n:g}' for n in (strange or found)[:8])} found, but known are {known}{cavity}; "
        "renumber the labels or remove the file"
    )


def common_convention(fits: Sequence[tuple[str, list[str]]]) -> str:
    """The one convention of a set's segmentations: 3 is enhancing tumour only where 4 occurs nowhere in the set.

    A file without enhancing tumour fits both 1-2-4 and 1-2-3, so the set decides and not the file.

    Args:
        fits: path of each segmentation and the conventions that fit it, at least one segmentation.

    Raises:
        InputError: no convention fits all of them.
    """
    for name in fits[0][1]:
        if all(name in names for _, names in fits):
            return name
    decided = {names[0]: path for path, names in reversed(fits) if len(names) == 1}
    examples = " and ".join(
        f"{path} {', '.join(map(str, CONVENTIONS[name]))}" for name, path in sorted(decided.items())
    )
    raise InputError(
        f"the segmentations of one set number their labels in two ways: {examples}; renumber one kind, so that the "
        "same number means the same tissue everywhere"
    )
