"""Source `phantom`: the demo's images, listed with patients and lesion masks in <root>/subjects.csv."""

from pathlib import PurePosixPath

from btlib.core.runtime.listing import check_root
from btlib.core.runtime.tables import read_user_table
from btlib.images.data.classes import CLASSES
from btlib.images.data.sources.entry import Entry, Request, Scan, usable
from btlib.images.data.sources.folder import SUFFIXES

COLUMNS = ("path", "label", "patient", "mask_path")


def scan(request: Request) -> Scan:
    """Lists the images named in subjects.csv, with their masks; paths there are relative to the root.

    Raises:
        InputError: the root is not a folder, or subjects.csv is missing, not a table or lacks a column.
    """
    root = request.root
    check_root(root, request.key)
    table = read_user_table(root / "subjects.csv", COLUMNS, COLUMNS, paths=("path", "mask_path"))
    found = Scan()
    for row in table.sort_values("path", kind="stable").itertuples(index=False):
        if usable(root, PurePosixPath(row.path), SUFFIXES, found):
            found.entries.append(Entry(*row))
    found.broken += [f"subjects.csv: {path} is listed twice" for path in table.path[table.path.duplicated()]]
    found.broken += [f"subjects.csv: unknown label '{name}'" for name in sorted(set(table.label) - set(CLASSES))]
    found.broken += [f"subjects.csv: no image of class '{name}'" for name in CLASSES if name not in set(table.label)]
    return found
