"""Many normalised cases as a sequence that keeps none of them in memory."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from btlib.core.runtime.errors import InputError
from btlib.volumes.data.record import CHECKSUM, CHECKSUM_BYTES, map_record, verify
from btlib.volumes.data.store import Case, case_of, case_path


class Cases(Sequence[Case]):
    """Cases of a folder by number, each mapped again whenever it is asked for.

    Memory thus holds only the voxels in use, and few files are open at a time: a process may often open no more than
    1,024, fewer than BraTS has cases. Every file's layout is checked at once, before hours of training; its voxels are
    compared with the checksum when they are first needed, since that reads them all.

    Args:
        folder: output of stage normalize_volumes.
        names: of the cases.

    Raises:
        InputError: a file is missing or damaged or, on later access, no longer the one that was there at first.
    """

    def __init__(self, folder: Path, names: Sequence[str]):
        self.folder = Path(folder)
        self.names = list(names)
        self.checksums = np.empty((len(self.names), CHECKSUM_BYTES), np.uint8)
        self.segmented = np.empty(len(self.names), bool)
        for number, name in enumerate(self.names):
            record = map_record(case_path(self.folder, name))
            self.checksums[number] = record[CHECKSUM]
            self.segmented[number] = "seg" in record.dtype.names
        self._verified: set[int] = set()

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, number: int) -> Case:
        name = self.names[number]
        path = case_path(self.folder, name)
        record = map_record(path)
        if not np.array_equal(record[CHECKSUM], self.checksums[number]):
            raise InputError(f"{path}: other data than at the start of this run; run the same command again")
        if number not in self._verified:
            verify(path, record)
            self._verified.add(number)
        return case_of(name, record)
