"""Any other set, listed in <root>/cases.csv: one row for each case, paths relative to the root."""

from pathlib import Path

from btlib.artifacts import read_csv
from btlib.data.volumes.conventions import MODALITIES
from btlib.data.volumes.sources.entry import Entry, Scan, grade_fault
from btlib.errors import InputError

NAME = "cases.csv"
COLUMNS = ("case", *MODALITIES, "seg", "grade", "patient")


def scan(root: Path) -> Scan:
    """Lists the rows of cases.csv; cells of seg, grade and patient may be empty, other columns are ignored.

    Raises:
        InputError: the table lacks a column.
    """
    table = read_csv(root / NAME, text=COLUMNS)
    lacking = [name for name in COLUMNS if name not in table.columns]
    if lacking:
        raise InputError(
            f"{root / NAME}: no column {', '.join(lacking)}; add it (cells of seg, grade and patient may be empty)"
        )
    found = Scan([Entry(**row) for row in table[list(COLUMNS)].to_dict("records")])
    for entry in found.entries:
        found.broken += grade_fault(NAME, entry.case, entry.grade)
    return found
