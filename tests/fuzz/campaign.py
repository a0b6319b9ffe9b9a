"""Many trials in processes with limits, so that an input that hangs or crashes is counted and the rest goes on."""

import multiprocessing
import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from btlib.core.runtime.isolation import GIB, Lost, in_isolation
from tests.fuzz.mutations import mutated
from tests.fuzz.trial import FAULT, LOST, Files, Outcome, Reader, read_files, tried, write_files

SECONDS = 20.0  # for one input; whole ones take some milliseconds
BATCH = 16
MEMORY = Path("/dev/shm")  # a file system without a disk


def trials(
    inputs: Sequence[tuple[Reader, int | Path]], seconds: float = SECONDS, gib: float = GIB
) -> Iterator[Outcome]:
    """What came of each input, in their order; an input is the number of a mutation, or a folder of files."""
    # once, for all processes: one that replaces a lost one would else import everything again
    multiprocessing.set_forkserver_preload(sorted({reader.read.__module__ for reader, _ in inputs}))
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir=MEMORY if MEMORY.is_dir() else None) as base:
        trial = partial(_trial, Path(base))
        found = in_isolation(trial, inputs, "try", unit="input", batch=BATCH, seconds=seconds, gib=gib)
        for (reader, _), outcome in zip(inputs, found, strict=True):
            yield _lost(reader, outcome.reason) if isinstance(outcome, Lost) else outcome


def files_of(reader: Reader, which: int | Path) -> Files:
    """The files of an input."""
    if isinstance(which, int):
        return mutated(reader, which)
    if which.is_file():
        return {which.name: which.read_bytes()}
    return read_files(which)


class Tally:
    """Counts the outcomes of one reader, and keeps the first input of each fault."""

    def __init__(self, reader: Reader, keep: Path | None):
        self.reader = reader
        self.counts: Counter[str] = Counter()
        self.faults: dict[str, tuple[int | Path, str]] = {}
        self._keep = keep

    def add(self, which: int | Path, outcome: Outcome) -> None:
        self.counts[outcome.kind] += 1
        if outcome.kind in (FAULT, LOST) and outcome.sign not in self.faults:
            self.faults[outcome.sign] = (which, outcome.message)
            folder = self._keep and self._keep / f"{self.reader.name}__{outcome.sign}"
            if folder and not folder.exists():
                write_files(folder, files_of(self.reader, which))


def _trial(base: Path, one: tuple[Reader, int | Path]) -> Outcome:
    reader, which = one
    return tried(reader, files_of(reader, which), base)


def _lost(reader: Reader, reason: str) -> Outcome:
    sign = re.sub(r"\W+", "_", reason.split(",")[0].split(" of ")[0]).strip("_")
    return Outcome(LOST if reader.isolated else FAULT, f"Lost___{sign}", reason)
