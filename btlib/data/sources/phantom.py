"""Source `phantom`: the demo's images, listed with patients and lesion masks in <root>/subjects.csv."""

from pathlib import Path

from btlib.artifacts import read_csv
from btlib.data.classes import CLASSES
from btlib.data.reading import resolve_inside
from btlib.data.sources.entry import Entry, Scan
from btlib.data.sources.files import check_root
from btlib.errors import InputError

COLUMNS = ("path", "label", "patient", "mask_path")


def scan(root: Path) -> Scan:
    """Lists the images named in subjects.csv; paths there are relative to `root`.

    Raises:
        InputError: `root` is no folder, or subjects.csv is missing or lacks a column.
    """
    check_root(root)
    table = read_csv(root / "subjects.csv", text=COLUMNS)
    lacking = [name for name in COLUMNS if name not in table.columns]
    if lacking:
        raise InputError(f"{root / 'subjects.csv'}: no column {', '.join(lacking)}; found {', '.join(table.columns)}")
    found = Scan()
    for row in table.sort_values("path", kind="stable")[list(COLUMNS)].itertuples(index=False):
        try:
            resolve_inside(root, row.path)
            found.entries.append(Entry(*row))
        except InputError as error:
            found.unreadable.append(str(error))
    found.broken += [f"subjects.csv: {path} is listed twice" for path in table.path[table.path.duplicated()]]
    found.broken += [f"subjects.csv: unknown label '{name}'" for name in sorted(set(table.label) - set(CLASSES))]
    found.broken += [f"subjects.csv: no image of class '{name}'" for name in CLASSES if name not in set(table.label)]
    return found
