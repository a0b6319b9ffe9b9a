"""Source `phantom`: the demo's images, listed with patients and lesion masks in <root>/subjects.csv."""

from pathlib import Path, PurePosixPath

from btlib.core.runtime.listing import check_root
from btlib.core.runtime.tables import read_user_table
from btlib.images.data.classes import CLASSES
from btlib.images.data.sources.entry import Entry, Scan, usable
from btlib.images.data.sources.folder import SUFFIXES

COLUMNS = ("path", "label", "patient", "mask_path")


def scan(root: Path) -> Scan:
    """Lists the images named in subjects.csv; paths there are relative to `root`.

    Raises:
        InputError: `root` is no folder, or subjects.csv is missing, no table or lacks a column.
    """
    check_root(root)
    table = read_user_table(root / "subjects.csv", COLUMNS, COLUMNS, paths=("path", "mask_path"))
    found = Scan()
    for row in table.sort_values("path", kind="stable").itertuples(index=False):
        if usable(root, PurePosixPath(row.path), SUFFIXES, found):
            found.entries.append(Entry(*row))
    found.broken += [f"subjects.csv: {path} is listed twice" for path in table.path[table.path.duplicated()]]
    found.broken += [f"subjects.csv: unknown label '{name}'" for name in sorted(set(table.label) - set(CLASSES))]
    found.broken += [f"subjects.csv: no image of class '{name}'" for name in CLASSES if name not in set(table.label)]
    return found
