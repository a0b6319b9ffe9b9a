"""Reads user-written tables: CSV from any spreadsheet program, in any dialect."""

import codecs
import csv
import re
from collections.abc import Collection, Sequence
from io import StringIO
from pathlib import Path

import pandas as pd

from btlib.core.runtime.errors import InputError, brief, guarded

MAX_BYTES = 16 * 2**20  # 100,000 images with paths of 160 characters
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
NO_VALUE = {"NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "<NA>", "#N/A"}  # as pandas and R write it
REMEDY = "save it as CSV in UTF-8"


def read_user_table(
    path: Path,
    columns: Sequence[str],
    required: Sequence[str | tuple[str, ...]],
    paths: Collection[str] = (),
) -> pd.DataFrame:
    """Reads a user-written table, correcting only what is unambiguous.

    Separated by commas, semicolons or tabs, whichever yields the most known columns in the first row; in UTF-8, or
    UTF-16 with a byte order mark. Column names ignore case, spaces, dashes and underscores. Short rows are padded with
    empty cells, as spreadsheet programs omit them.

    Args:
        columns: to read; others are ignored.
        required: columns that must exist; of a tuple, at least one.
        paths: columns of paths, where a backslash becomes a slash.

    Returns:
        Stripped text, '' for missing values, in those of `columns` that the table has, in their order.

    Raises:
        InputError: the file is missing, larger than 16 MiB or not a table, lacks a column, repeats one, or has cells
            beyond the last column.
    """
    rows = _rows(path, columns)
    header = rows[0][1]
    places = {name: at for name in columns if (at := _place(path, header, name)) is not None}
    lacking = [one for one in required if not places.keys() & ({one} if isinstance(one, str) else set(one))]
    if lacking:
        expected = ", ".join(one if isinstance(one, str) else f"one of {' or '.join(one)}" for one in required)
        found = brief(", ".join(name for name in header if name))
        raise InputError(f"{path}: columns are {found or 'none'}; expected {expected}, in the first row")
    for line, row in rows[1:]:
        if any(row[len(header) :]):
            raise InputError(
                f"{path}: line {line}: {len(row)} cells for {len(header)} columns; put cells that contain the "
                "separator in double quotes"
            )
    return pd.DataFrame(
        {name: [_value(row, at, name in paths) for _, row in rows[1:]] for name, at in places.items()}, dtype=str
    )


def _rows(path: Path, columns: Sequence[str]) -> list[tuple[int, list[str]]]:
    """The non-blank rows, each with the number of its last line; the first names the columns."""
    text = _text(path)
    with guarded(str(path), "CSV table", REMEDY):
        separator = max(SEPARATORS, key=lambda one: _count_columns(text, one, columns))
        reader = csv.reader(StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
        rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    rows = [(line, row) for line, row in rows if any(row)]
    if not rows:
        raise InputError(f"{path}: an empty table; expected a row of column names")
    return rows


def _text(path: Path) -> str:
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if path.stat().st_size > MAX_BYTES:
        raise InputError(f"{path}: larger than {MAX_BYTES // 2**20} MiB, too large for a table; check the file's name")
    with guarded(str(path), "CSV table", REMEDY):
        raw = path.read_bytes()
        wide = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        return raw.decode("utf-16" if wide else "utf-8-sig")


def _count_columns(text: str, separator: str, columns: Sequence[str]) -> tuple[int, int]:
    """Numbers of known and of all columns in the first row with this separator."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    names = {_normalize(name) for name in first.replace('"', "").split(separator)}
    return len(names & {_normalize(name) for name in columns}), len(names)


def _place(path: Path, header: Sequence[str], name: str) -> int | None:
    places = [at for at, found in enumerate(header) if _normalize(found) == _normalize(name)]
    if len(places) > 1:
        raise InputError(f"{path}: {len(places)} columns are named {name}; keep the right one")
    return places[0] if places else None


def _normalize(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name.casefold())


def _value(row: Sequence[str], at: int, is_path: bool) -> str:
    cell = row[at] if at < len(row) else ""
    cell = "" if cell in NO_VALUE else cell
    return cell.replace("\\", "/") if is_path else cell
