"""Any other data set, listed in <root>/cases.csv: one row per case, paths relative to the root."""

from pathlib import Path

from btlib.core.runtime.tables import read_user_table
from btlib.volumes.data.conventions import MODALITIES
from btlib.volumes.data.sources.entry import Entry, Scan, grade_fault

NAME = "cases.csv"
COLUMNS = ("case", *MODALITIES, "seg", "grade", "patient")


def scan(root: Path) -> Scan:
    """Lists the rows of cases.csv; cells of seg, grade and patient may be empty, other columns are ignored.

    Raises:
        InputError: the table cannot be read, or lacks a column.
    """
    table = read_user_table(root / NAME, COLUMNS, required=COLUMNS, paths=(*MODALITIES, "seg"))
    rows = [row | {"grade": row["grade"].upper()} for row in table.to_dict("records")]
    found = Scan([Entry(**row) for row in rows])
    for entry in found.entries:
        found.broken += grade_fault(NAME, entry.case, entry.grade)
    return found
