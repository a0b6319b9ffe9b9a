"""Source `figshare`: Cheng's 3,064 slices (doi 10.6084/m9.figshare.1512427), one MATLAB v7.3 file each.

A file contains cjdata/label, PID (patient), image (int16) and tumorMask; the set has no images without a tumour.
"""

from functools import partial
from pathlib import Path

from btlib.core.runtime.errors import InputError
from btlib.core.runtime.listing import check_root, walk
from btlib.images.data.inspection import inspected
from btlib.images.data.reading import read_mat_label
from btlib.images.data.sources.entry import Entry, Request, Scan, usable

LABELS = {1: "meningioma", 2: "glioma", 3: "pituitary"}


def scan(request: Request) -> Scan:
    """Lists the .mat files below the root at any depth; image and mask are the same file.

    Raises:
        InputError: the root is not a folder.
    """
    root, found = request.root, Scan()
    check_root(root, request.key)
    places = sorted(place / name for place, names in walk(root, found.unreadable) for name in names)
    paths = [str(path) for path in places if usable(root, path, {".mat"}, found)]
    found.entries, faults = inspected(partial(_entry, root), paths, paths, "read labels", unit="file")
    found.unreadable += faults
    return found


def _entry(root: Path, path: str) -> Entry:
    number, patient = read_mat_label(root, path)
    if number not in LABELS:
        raise InputError(f"{path}: cjdata/label is {number}, expected 1, 2 or 3")
    return Entry(path, LABELS[number], patient, path)
