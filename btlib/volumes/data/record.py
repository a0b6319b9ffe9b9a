"""The file of a normalised case: one NumPy record of named arrays, mapped into memory instead of read.

It is not compressed, so that reading a window of voxels touches only the pages that hold it. A checksum in it covers
all that follows: nothing else would notice a flipped bit.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from btlib.core.runtime.artifacts import atomic_path
from btlib.core.runtime.errors import InputError, guarded

CHECKSUM = "checksum"
CHECKSUM_BYTES = 16
GEOMETRY = (("affine", "<f8", (4, 4)), ("native_affine", "<f8", (4, 4)), ("native_shape", "<i8", (3,)))
FORMS = (("sform", "<f8", (4, 4)), ("sform_code", "<i8"), ("qform", "<f8", (4, 4)), ("qform_code", "<i8"))
PHANTOMS = "phantom_cases"  # folder and stage; all other cases are from normalize_volumes


def layout(grid: Sequence[int], segmented: bool, has_forms: bool) -> np.dtype:
    """The record of a case of X × Y × Z voxels. Voxels come last, since odd sizes would misalign what follows."""
    seg = [("seg", "u1", tuple(grid))] if segmented else []
    forms = FORMS if has_forms else ()
    return np.dtype(
        [(CHECKSUM, "u1", (CHECKSUM_BYTES,)), *GEOMETRY, *forms, ("image", "<f2", (4, *grid)), *seg],
    )


def write_record(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes the arrays of one case, named as in `layout`; equal arrays give equal bytes."""
    record = np.zeros((), layout(arrays["image"].shape[1:], "seg" in arrays, "sform" in arrays))
    for name, array in arrays.items():
        record[name] = array
    record[CHECKSUM] = _checksum(record)
    with atomic_path(path) as temporary:
        np.save(temporary, record, allow_pickle=False)


def map_record(path: Path) -> np.ndarray:
    """Maps the file of a case; its voxels come from disk when they are used.

    Changes to the arrays stay in memory. (Of a map that forbids them, PyTorch would warn.)

    Raises:
        InputError: there is no such file, it is cut short, or its arrays are not those of `layout`.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; run `dvc repro` to create it or `dvc pull` to fetch it")
    with guarded(str(path), "normalised case", _remedy(path)):
        record = np.lib.format.open_memmap(path, mode="c")
        _check_layout(record)
    return record


def verify(path: Path, record: np.ndarray) -> None:
    """Reads the whole record once. Raises InputError if it does not match its checksum."""
    if not np.array_equal(record[CHECKSUM], _checksum(record)):
        raise InputError(f"{path}: not a valid normalised case (its checksum does not match); {_remedy(path)}")


def _remedy(path: Path) -> str:
    """DVC may have cached the damaged file, and would restore it if it is only deleted."""
    stage = PHANTOMS if path.parent.name == PHANTOMS else "normalize_volumes"
    return f"recreate it: `dvc repro -f -s {stage}`, then `dvc repro`"


def _checksum(record: np.ndarray) -> np.ndarray:
    """uint8 [CHECKSUM_BYTES] of the names, types, shapes and bytes of all arrays but the checksum."""
    digest = hashlib.blake2b(repr(record.dtype.descr).encode(), digest_size=CHECKSUM_BYTES)
    digest.update(record.reshape(1).view(np.uint8)[CHECKSUM_BYTES:])
    return np.frombuffer(digest.digest(), np.uint8)


def _check_layout(record: np.ndarray) -> None:
    found = record.dtype
    names = found.names or ()
    if record.shape or "image" not in names or found["image"].ndim != 4:
        raise ValueError(f"expected one record with an image [4, X, Y, Z], found {list(record.shape)} of {found}")
    expected = layout(found["image"].shape[1:], "seg" in names, "sform" in names)
    wrong = [name for name in expected.names if name not in names or found[name] != expected[name]]
    if wrong:
        shown = found[wrong[0]] if wrong[0] in names else "missing"
        raise ValueError(f"{wrong[0]}: {shown}, expected {expected[wrong[0]]}")
    if found != expected:
        raise ValueError(f"arrays {', '.join(names)}, expected {', '.join(expected.names)}")
