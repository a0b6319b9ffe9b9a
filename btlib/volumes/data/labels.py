"""Label conventions: the tissue of each number in segmentations of different families of data sets."""

import re
from collections.abc import Mapping, Sequence

import numpy as np

from btlib.core.runtime.errors import InputError
from btlib.volumes.data.conventions import LABELS

BACKGROUND, NECROTIC_CORE, EDEMA, ENHANCING = LABELS.values()
# Number in the file -> canonical label. A resection cavity is not tumour: BraTS's regions exclude it.
CONVENTIONS = {
    "brats": {1: NECROTIC_CORE, 2: EDEMA, 4: ENHANCING},  # BraTS 2017 to 2021
    "canonical": {1: NECROTIC_CORE, 2: EDEMA, 3: ENHANCING},  # BraTS 2023 on
    "msd": {1: EDEMA, 2: NECROTIC_CORE, 3: ENHANCING},  # Medical Segmentation Decathlon, Task01; nnU-Net
    "ped": {1: ENHANCING, 2: NECROTIC_CORE, 3: NECROTIC_CORE, 4: EDEMA},  # BraTS-PED 2024: 3 is a cyst
    "post_treatment": {
        1: NECROTIC_CORE,
        2: EDEMA,
        3: ENHANCING,
        4: BACKGROUND,
    },  # BraTS-GLI 2024: 4 is the cavity
    "brats2015": {
        1: NECROTIC_CORE,
        2: EDEMA,
        3: NECROTIC_CORE,
        4: ENHANCING,
    },  # up to 2015: 1 necrosis, 3 non-enhancing
}
TISSUE = {label: name for name, label in LABELS.items()}
SPELLED = re.compile(rf"(\d+) ({'|'.join(LABELS)})")  # in the manifest, for a numbering without a name
NEAR_INTEGER = 1e-3  # a header's scaling may turn 2 into 1.9999999


def numbering(labels: str) -> dict[int, int]:
    """Number in the file -> canonical label, including 0.

    Args:
        labels: as in the manifest: a key of CONVENTIONS or a list spelled out by `named`.
    """
    known = CONVENTIONS.get(labels) or {int(number): LABELS[name] for number, name in SPELLED.findall(labels)}
    return {0: BACKGROUND} | known


def named(tissues: Mapping[int, int]) -> str:
    """The inverse of `numbering`: the name of a convention, or '1 edema, 2 necrotic_core' if it has none."""
    tissues = {number: label for number, label in tissues.items() if number}
    same = [name for name, convention in CONVENTIONS.items() if convention == tissues]
    return same[0] if same else spelled(tissues)


def stated(labels: str | Mapping[int, str]) -> str:
    """Value of volumes.labels in the manifest's form; 'auto' is unchanged."""
    return labels if isinstance(labels, str) else named({number: LABELS[name] for number, name in labels.items()})


def spelled(tissues: Mapping[int, int]) -> str:
    """A numbering as text: '1 necrotic_core, 2 edema, 4 enhancing'."""
    return ", ".join(f"{number} {TISSUE[label]}" for number, label in sorted(tissues.items()) if number)


def canonical(values: np.ndarray, labels: str, path: str) -> np.ndarray:
    """Converts the numbers of a file to canonical labels.

    Args:
        values: integers [X, Y, Z], of any type.
        labels: their numbering, as in the manifest.
        path: the file, for messages.

    Returns:
        uint8 [X, Y, Z].

    Raises:
        InputError: a number is not in the numbering, or not an integer.
    """
    fitting(values, (labels,), path)
    numbers, found = np.rint(values), np.zeros(values.shape, np.uint8)
    for number, label in numbering(labels).items():
        found[numbers == number] = label
    return found


def renumbered(labels: np.ndarray, convention: str) -> np.ndarray:
    """Converts canonical labels to another numbering, using the first of several numbers for one tissue.

    Args:
        labels: uint8 of any shape, canonical.
        convention: as in the manifest; BraTS-PED's core becomes its 2, not its cyst.

    Returns:
        uint8 of the same shape.

    Raises:
        InputError: the numbering has no number for a tissue that occurs, or one above 255.
    """
    numbers = {label: number for number, label in reversed(numbering(convention).items())}
    found = np.unique(labels).tolist()
    lacking = [TISSUE[label] for label in found if numbers.get(label, 256) > 255]
    if lacking:
        raise InputError(f"labels: the numbering {convention} has no number up to 255 for {' and '.join(lacking)}")
    table = np.zeros(len(LABELS), np.uint8)
    table[found] = [numbers[label] for label in found]
    return table[labels]


def numbers_in(values: np.ndarray) -> set[float]:
    """The nonzero numbers of a segmentation; near-integers are rounded."""
    found = np.unique(values[values != 0])  # skips the background, most of a volume
    whole = np.rint(found)
    return set(np.where(np.abs(found - whole) < NEAR_INTEGER, whole, found).tolist()) - {0.0}


def fitting(values: np.ndarray, conventions: Sequence[str], path: str) -> list[str]:
    """Those of `conventions` that contain every number of the file, in their order.

    Raises:
        InputError: there is none.
    """
    numbers = numbers_in(values)
    fits = [name for name in conventions if numbers <= set(numbering(name))]
    if fits:
        return fits
    strange = sorted(n for n in numbers if not any(n in numbering(name) for name in conventions)) or sorted(numbers)
    known = " or ".join(f"{', '.join(map(str, numbering(name)))} ({name})" for name in conventions)
    others = [f"{name} ({spelled(tissues)})" for name, tissues in CONVENTIONS.items() if numbers <= set(tissues)]
    state = f", as {' or '.join(others)}" if others else ""
    raise InputError(
        f"{path}: unknown label {', '.join(f'{n:g}' for n in strange[:8])}, expected {known}; set volumes.labels to "
        f"the meaning of the numbers{state}, renumber the labels or remove the file"
    )


def common_convention(fits: Sequence[tuple[str, list[str]]]) -> str:
    """The common convention of a set's segmentations: 3 is enhancing tumour only if 4 occurs nowhere in the set.

    A file without enhancing tumour fits both 1-2-4 and 1-2-3, so the whole set decides.

    Args:
        fits: path of each segmentation and the conventions that fit it, at least one segmentation.

    Raises:
        InputError: no convention fits all of them.
    """
    for name in fits[0][1]:
        if all(name in names for _, names in fits):
            return name
    decided = {names[0]: path for path, names in reversed(fits) if len(names) == 1}
    examples = " and ".join(f"{path} {', '.join(map(str, numbering(name)))}" for name, path in sorted(decided.items()))
    raise InputError(
        f"the segmentations of one set use two numberings: {examples}; renumber one kind, so that every number means "
        "the same tissue everywhere"
    )
