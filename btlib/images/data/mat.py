"""Reads Figshare's cases: MATLAB v7.3 files, which are HDF5, with cjdata/label, PID, image and tumorMask.

HDF5 can take its values from other files, through links, external storage and virtual data sets, and load programs to
decode them. A case does none of it: whatever is no plain field with plain compression is refused before it is read.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path

import h5py
import numpy as np

from btlib.core.runtime.errors import InputError, guarded
from btlib.images.data.decoding import MAX_PIXELS, check_size, finite, gray_levels

KIND = "MATLAB v7.3 file"
FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}
LONGEST_ID = 64  # letters of a patient


def mat_image(real: Path, name: str) -> np.ndarray:
    """The slice, uint8 [height, width, 3], scaled from its own minimum and maximum.

    Args:
        real: the file.
        name: as the user knows it, for messages.

    Raises:
        InputError: the file is damaged, has no such field, or keeps it elsewhere.
    """
    with _case(real, name) as case:
        return gray_levels(_matrix(case, "image", name))


def mat_mask(real: Path, name: str) -> np.ndarray:
    """The lesion mask, bool [height, width]: True wherever it is not zero. Raises InputError as `mat_image`."""
    with _case(real, name) as case:
        return finite(_matrix(case, "tumorMask", name)) != 0


def mat_label(real: Path, name: str) -> tuple[int, str]:
    """The label number, and the patient id, '' where it is blank. Raises InputError as `mat_image`."""
    with _case(real, name) as case:
        label = _field(case, "label", name, most=1)[()].ravel()
        codes = _field(case, "PID", name, most=LONGEST_ID)[()].ravel()
        if label.size != 1 or label[0] != int(label[0]):
            raise InputError(f"{name}: cjdata/label is {label}, expected one whole number")
        patient = "".join(chr(int(code)) for code in codes).strip("\0 ")  # MATLAB text is a row of character codes
        if not patient.isprintable():
            raise InputError(f"{name}: cjdata/PID is no text")
        return int(label[0]), patient


@contextmanager
def _case(real: Path, name: str) -> Iterator[h5py.Group]:
    while h5py.h5pl.size():  # folders from which HDF5 would load filters
        h5py.h5pl.remove(0)
    with guarded(name, KIND), h5py.File(real, "r") as file:
        yield _member(file, "cjdata", name)


def _member(group: h5py.Group, key: str, name: str) -> h5py.Group | h5py.Dataset:
    field = f"{group.name}/{key}".strip("/")
    link = group.get(key, getlink=True)
    if link is None:
        raise InputError(f"{name}: no field {field}; a Figshare case has cjdata/label, PID, image and tumorMask")
    if not isinstance(link, h5py.HardLink):
        raise InputError(f"{name}: {field} is a link to elsewhere, which no Figshare case has; the file is not read")
    return group[key]


def _field(case: h5py.Group, key: str, name: str, most: int) -> h5py.Dataset:
    """A field of numbers, `most` at most, that lies in the file itself; not read yet."""
    found = _member(case, key, name)
    if not isinstance(found, h5py.Dataset) or found.dtype.kind not in "biuf" or found.shape is None:
        raise InputError(f"{name}: cjdata/{key} is no field of numbers")
    pipeline = found.id.get_create_plist()
    filters = {pipeline.get_filter(place)[0] for place in range(pipeline.get_nfilters())}
    if found.external or found.is_virtual or filters - FILTERS:
        raise InputError(
            f"{name}: cjdata/{key} lies in another file or needs a program to decode it, which no Figshare case does; "
            "the file is not read"
        )
    if found.size > most or prod(found.chunks or ()) > MAX_PIXELS:
        raise InputError(f"{name}: cjdata/{key} is {found.shape}, more than the {most:,} numbers allowed")
    if not _is_whole(found):
        raise InputError(f"{name}: not all of cjdata/{key} is in the file; copy or download it again")
    return found


def _is_whole(field: h5py.Dataset) -> bool:
    """HDF5 fills with zeros what a file promises and does not hold."""
    if field.chunks is None:
        return field.id.get_storage_size() == field.nbytes
    pieces = [-(-length // chunk) for length, chunk in zip(field.shape, field.chunks, strict=True)]
    return field.id.get_num_chunks() == prod(pieces)


def _matrix(case: h5py.Group, key: str, name: str) -> np.ndarray:
    found = _field(case, key, name, most=MAX_PIXELS)
    if found.ndim != 2:
        raise InputError(f"{name}: cjdata/{key} is {found.shape}, expected a matrix")
    check_size(*found.shape, name)
    return found[()].T  # MATLAB stores columns first
