"""Source `figshare`: Cheng's 3,064 slices (doi 10.6084/m9.figshare.1512427), one MATLAB v7.3 file each.

A file holds cjdata/label, PID (patient), image (int16) and tumorMask; the set has no images without a tumour.
"""

from pathlib import Path

from tqdm import tqdm

from btlib.data.reading import read_mat_label
from btlib.data.sources.entry import Entry, Scan
from btlib.data.sources.files import check_root, usable, walk
from btlib.errors import InputError

LABELS = {1: "meningioma", 2: "glioma", 3: "pituitary"}


def scan(root: Path, key: str = "images.root") -> Scan:
    """Lists the .mat files below `root` at any depth; image and mask are the same file.

    Args:
        key: of params.yaml that names `root`, for the messages.

    Raises:
        InputError: `root` is no folder.
    """
    check_root(root, key)
    found = Scan()
    paths = sorted(place / name for place, names in walk(root, found) for name in names)
    paths = [path for path in paths if usable(root, path, {".mat"}, found)]
    for path in tqdm(paths, desc="read labels", unit="file", mininterval=0.5):
        try:
            number, patient = read_mat_label(root, str(path))
            if number not in LABELS:
                raise InputError(f"{path}: cjdata/label is {number}, expected 1, 2 or 3")
            found.entries.append(Entry(str(path), LABELS[number], patient, str(path)))
        except InputError as error:
            found.unreadable.append(str(error))
    return found
