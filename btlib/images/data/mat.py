"""Reads Figshare's cases: MATLAB v7.3 (HDF5) files with cjdata/label, PID, image and tumorMask.

HDF5 can refer to other files by links, external storage and virtual data sets, and can load plug-ins to decode values.
Figshare's cases use none of it: anything but a plain field with standard compression is refused before it is read.
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
MAX_ID = 64  # characters of a patient id


def mat_image(real: Path, name: str) -> np.ndarray:
    """The slice, uint8 [height, width, 3], rescaled from its range of values.

    Args:
        real: the file.
        name: as the user knows it, for messages.

    Raises:
        InputError: the file is damaged, lacks the field, or stores it in another file.
    """
    with _case(real, name) as case:
        return gray_levels(_matrix(case, "image", name))


def mat_mask(real: Path, name: str) -> np.ndarray:
    """The lesion mask, bool [height, width]: True for nonzero values. Raises InputError as `mat_image`."""
    with _case(real, name) as case:
        return finite(_matrix(case, "tumorMask", name)) != 0


def mat_label(real: Path, name: str) -> tuple[int, str]:
    """The label number, and the patient id ('' if blank). Raises InputError as `mat_image`."""
    with _case(real, name) as case:
        label = _field(case, "label", name, most=1)[()].ravel()
        codes = _field(case, "PID", name, most=MAX_ID)[()].ravel()
        if label.size != 1 or label[0] != int(label[0]):
            raise InputError(f"{name}: cjdata/label is {label}, expected one integer")
        patient = "".join(chr(int(code)) for code in codes).strip("\0 ")  # MATLAB text is a row of character codes
        if not patient.isprintable():
            raise InputError(f"{name}: cjdata/PID is not text")
        return int(label[0]), patient


@contextmanager
def _case(real: Path, name: str) -> Iterator[h5py.Group]:
    while h5py.h5pl.size():  # folders of HDF5 plug-ins
        h5py.h5pl.remove(0)
    with guarded(name, KIND), h5py.File(real, "r") as file:
        yield _member(file, "cjdata", name)


def _member(group: h5py.Group, key: str, name: str) -> h5py.Group | h5py.Dataset:
    field = f"{group.name}/{key}".strip("/")
    link = group.get(key, getlink=True)
    if link is None:
        raise InputError(f"{name}: no field {field}; a Figshare case has cjdata/label, PID, image and tumorMask")
    if not isinstance(link, h5py.HardLink):
        raise InputError(f"{name}: {field} is a link to another file, unlike in Figshare's cases; the file is not read")
    return group[key]


def _field(case: h5py.Group, key: str, name: str, most: int) -> h5py.Dataset:
    """A numeric field of at most `most` values stored in the file itself; not read yet."""
    found = _member(case, key, name)
    if not isinstance(found, h5py.Dataset) or found.dtype.kind not in "biuf" or found.shape is None:
        raise InputError(f"{name}: cjdata/{key} is not a numeric field")
    pipeline = found.id.get_create_plist()
    filters = {pipeline.get_filter(place)[0] for place in range(pipeline.get_nfilters())}
    if found.external or found.is_virtual or filters - FILTERS:
        raise InputError(
            f"{name}: cjdata/{key} is stored in another file or needs a plug-in to decode it, unlike in Figshare's "
            "cases; the file is not read"
        )
    if found.size > most or prod(found.chunks or ()) > MAX_PIXELS:
        raise InputError(f"{name}: cjdata/{key} is {found.shape}, more than the {most:,} numbers allowed")
    if not _is_complete(found):
        raise InputError(f"{name}: not all of cjdata/{key} is in the file; copy or download it again")
    return found


def _is_complete(field: h5py.Dataset) -> bool:
    """Whether all values are in the file; HDF5 would fill missing ones with zeros."""
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
