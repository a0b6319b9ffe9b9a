"""Many normalised cases as a sequence that keeps none of them in memory."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from btlib.core.runtime.errors import InputError
from btlib.volumes.data.record import CHECKSUM, CHECKSUM_BYTES, map_record, verify
from btlib.volumes.data.store import Case, case_of, case_path

T = TypeVar("T")


class Cases(Sequence[Case]):
    """Cases of a folder by number, each mapped again whenever it is asked for.

    Memory thus holds only the voxels in use, and few files are open at a time: a process may often open no more than
    1,024, fewer than BraTS has cases. Every file's layout is checked at once, before hours of training; its voxels are
    compared with the checksum when they are first needed, since that reads them all, and whenever the file has been
    written since.

    Args:
        kept: folder (output of stage normalize_volumes or phantom_cases) -> names of its cases.

    Raises:
        InputError: a file is missing or damaged or, on later access, no longer the one that was there at first.
    """

    def __init__(self, kept: Mapping[Path, Sequence[str]]):
        self.paths = [case_path(folder, name) for folder, names in kept.items() for name in names]
        self.checksums = np.empty((len(self.paths), CHECKSUM_BYTES), np.uint8)
        self.segmented = np.empty(len(self.paths), bool)
        self.shapes: list[tuple[int, int, int]] = []
        for number, path in enumerate(self.paths):
            record = map_record(path)
            self.checksums[number] = record[CHECKSUM]
            self.segmented[number] = "seg" in record.dtype.names
            self.shapes.append(record["image"].shape[1:])
        self._verified: dict[int, tuple[int, ...]] = {}  # number of a case -> its file as it was when it was compared

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, number: int) -> Case:
        path = self.paths[number]
        record = map_record(path)
        if not np.array_equal(record[CHECKSUM], self.checksums[number]):
            raise InputError(f"{path}: other data than at the start of this run; run the same command again")
        found = _identity(path)
        if self._verified.get(number) != found:
            verify(path, record)
            self._verified[number] = found
        return case_of(path.stem, record)


def of_case(number: int, function: Callable[[Case], T], cases: Sequence[Case]) -> T:
    """`function(cases[number])`, for calls elsewhere: sending a number and paths is cheaper than sending voxels."""
    return function(cases[number])


def _identity(path: Path) -> tuple[int, ...]:
    """What tells whether a file has been replaced or written to."""
    status = path.stat()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
