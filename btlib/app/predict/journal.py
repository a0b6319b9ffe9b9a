"""The journal of a prediction run, from which its tables are written and an interrupted run is resumed.

The first line of `btlib.journal` is the run's settings, every other line one batch: what became of its inputs, as JSON.
A line is added only once the pictures and masks of its batch are stored. A line cut short by the end of the process
counts for nothing: its batch is predicted again, as a whole, since the last digits of a prediction depend on the other
images of its batch.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from btlib.app.scans.results import CASES, JOURNAL, SLICES, UNUSED, refuse_filled
from btlib.core.runtime.artifacts import sha256
from btlib.core.runtime.errors import InputError, brief, guarded, listed
from btlib.core.runtime.lock import locked

TABLES = (SLICES, "slices.csv", CASES, "cases.csv", UNUSED)
SHOWN = 40  # characters of a setting in a message


class Entry(NamedTuple):
    """What became of an input.

    name: unlike that of any other input; stamp: of its files, see `stamp_of`; row: of the tables, None if the input
    could not be predicted; unused: pairs of a path and the reason why it was not used.
    """

    name: str
    stamp: str
    row: dict[str, Any] | None
    unused: Sequence[tuple[str, str]] = ()


class Journal:
    """A journal open for writing; made by `journal_in`."""

    def __init__(self, path: Path):
        self._path = path
        self._known: dict[str, tuple[str, int]] = {}  # stamp, and place of the line, of each input

    def pending(self, stamps: Mapping[str, str]) -> list[str]:
        """The inputs that are still to be predicted: new ones, and those whose files changed. If there are any, the
        tables of the run so far are removed.

        Args:
            stamps: of all inputs, by name.

        Raises:
            InputError: inputs of the journal are not among them.
        """
        gone = [name for name in self._known if name not in stamps]
        if gone:
            raise InputError(
                f"{self._path.parent}: {len(gone)} inputs of the run to resume are missing; give the same paths, put "
                f"the files back, or choose a new folder:\n{listed(gone)}"
            )
        left = [name for name, stamp in stamps.items() if self._known.get(name, ("", 0))[0] != stamp]
        for table in TABLES if left else ():
            (self._path.parent / table).unlink(missing_ok=True)
        return left

    def add(self, batch: Iterable[Entry]) -> None:
        """Stores a batch, to survive even a power failure."""
        entries = list(batch)
        with self._path.open("ab") as file:
            place = file.tell()
            file.write(json.dumps(entries, allow_nan=False).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self._note(entries, place)

    def entries(self, names: Iterable[str]) -> Iterator[Entry]:
        """The latest entries of these inputs, in this order, reading one batch at a time."""
        batch: dict[str, Entry] = {}
        last = -1
        with self._path.open("rb") as file:
            for name in names:
                _, place = self._known[name]
                if place != last:
                    file.seek(place)
                    batch, last = {one.name: one for one in _parsed(file.readline())}, place
                yield batch[name]

    def begin(self, settings: Mapping[str, Any]) -> None:
        """Writes the settings of a new run, or reads a run of the same settings. Raises InputError if they differ."""
        with self._path.open("r+b") as file:
            first = file.readline()
            if not first.endswith(b"\n"):
                file.seek(0)
                file.write(json.dumps(settings).encode() + b"\n")
            else:
                with guarded(str(self._path), "journal", "choose a new folder"):
                    self._compare(dict(json.loads(first)), settings)
                self._read(file)
            file.truncate()
            os.fsync(file.fileno())

    def _read(self, file: Any) -> None:
        """Reads the batches up to the end, or to the first damaged line."""
        while line := file.readline():
            place = file.tell() - len(line)
            try:
                if not line.endswith(b"\n"):
                    raise ValueError("cut short")
                self._note(_parsed(line), place)
            except (TypeError, ValueError):
                file.seek(place)
                return

    def _note(self, entries: Iterable[Entry], place: int) -> None:
        self._known |= {one.name: (one.stamp, place) for one in entries}

    def _compare(self, first: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
        changed = [
            f"{name}: {brief(first.get(name), SHOWN)}, now {brief(settings.get(name), SHOWN)}"
            for name in dict.fromkeys([*first, *settings])
            if first.get(name) != settings.get(name)
        ]
        if changed:
            raise InputError(
                f"{self._path.parent}: a run with other settings cannot be resumed; restore them, or choose a new "
                f"folder:\n{listed(changed)}"
            )


@contextmanager
def journal_in(out: Path, settings: Mapping[str, Any], resume: bool) -> Iterator[Journal]:
    """The journal of the run that writes to the folder `out`, for the block.

    Args:
        settings: JSON values by name; a run is resumed only with the same ones.
        resume: whether to continue a run in `out`, if there is one.

    Raises:
        InputError: `out` cannot be written, is in use by another process, or contains files other than those of a run
            with the same settings, to be resumed.
    """
    path = out / JOURNAL
    if not (resume and path.is_file()):
        refuse_filled(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError as error:
        raise InputError(f"{out}: cannot be written ({error.strerror}); choose another folder") from error
    with locked(path, f"{out}: another btlib predict writes there"):
        journal = Journal(path)
        journal.begin(settings)
        yield journal


def settings_of(model: Path, **options: Any) -> dict[str, Any]:
    """The settings of a run: the options, and the SHA-256 of each file of the model's folder."""
    files = sorted(path for path in model.iterdir() if path.is_file())
    return options | {f"{model.name}/{path.name}": sha256(path) for path in files}


def stamp_of(files: Iterable[Path], *about: Any) -> str:
    """Changes when the size or modification time of a file changes, or the text of `about`."""
    digest = hashlib.sha256(repr(about).encode())
    for file in files:
        try:
            stat = file.stat()
            digest.update(repr((str(file), stat.st_size, stat.st_mtime_ns)).encode())
        except (OSError, ValueError):  # gone, or an impossible name: a fault of its own when the file is read
            digest.update(repr(str(file)).encode())
    return digest.hexdigest()[:32]


def _parsed(line: bytes) -> list[Entry]:
    return [Entry(name, stamp, row, unused) for name, stamp, row, unused in json.loads(line)]
