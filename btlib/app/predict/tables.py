"""Writes the tables of a finished prediction run from its journal, row by row."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from btlib.app.predict.journal import Journal
from btlib.app.scans.results import JOURNAL, write_unused
from btlib.core.runtime.artifacts import write_csv_rows, write_json
from btlib.core.runtime.errors import InputError, listed


def write_tables(
    out: Path,
    journal: Journal,
    names: Sequence[str],
    kind: str,
    model: Mapping[str, Any],
    refused: Iterable[tuple[Path, str]],
    unused: Iterable[tuple[Path, str]],
) -> int:
    """Writes `kind`.csv and .json with a row for each predicted input, and unused.csv with all other files.

    Args:
        names: of the inputs, in the order of the rows.
        kind: 'slices' or 'cases'.
        model: what the JSON says about the model.
        refused: paths that could not be predicted, and why, besides those in the journal.
        unused: paths that need not be predicted, and why.

    Returns:
        The number of rows.

    Raises:
        InputError: inputs could not be predicted. The tables are written all the same, unless nothing was predicted.
    """
    faults = [(str(path), reason) for path, reason in refused]
    left = [(str(path), reason) for path, reason in unused if path.absolute() != out.absolute()]
    count = 0
    for entry in journal.entries(names):
        count += entry.row is not None
        (faults if entry.row is None else left).extend((path, reason) for path, reason in entry.unused)
    shown = listed([f"{path}: {_indented(reason)}" for path, reason in faults])
    if not count:
        _remove(out)
        raise InputError(f"nothing could be predicted, so nothing was written\n{shown}".rstrip())
    write_unused(out, [*faults, *left])
    write_csv_rows(out / f"{kind}.csv", _rows(journal, names))
    write_json(out / f"{kind}.json", {"model": model, kind: _rows(journal, names)})  # last: the run is finished
    if faults:
        raise InputError(f"{count} predicted, see {out}; {len(faults)} could not be predicted:\n{shown}")
    return count


def _rows(journal: Journal, names: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    return (entry.row for entry in journal.entries(names) if entry.row is not None)


def _indented(reason: str) -> str:
    return reason.replace("\n", "\n    ")


def _remove(out: Path) -> None:
    """Removes the folder of a run that predicted nothing."""
    (out / JOURNAL).unlink()
    with suppress(OSError):  # it was there before, with folders of its own
        for folder in (*out.iterdir(), out):
            folder.rmdir()
