"""Chooses and reads the four volumes of a case and brings them onto one grid."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from btlib.app.scans.dicom_files import headers
from btlib.app.scans.dicom_study import stacked
from btlib.app.scans.enhancement import enhancement
from btlib.app.scans.modality import Candidate, Choice, Source, checked, choose
from btlib.app.scans.stated import NAME
from btlib.core.runtime.errors import InputError
from btlib.volumes.data.belonging import copies
from btlib.volumes.data.conventions import MODALITIES
from btlib.volumes.data.normalize import normalize
from btlib.volumes.data.reading import grid_faults, header_remarks, off_grid, on_one_grid, read_volumes
from btlib.volumes.data.volume import Header, Volume


class InputCase(NamedTuple):
    """An input case: its candidate volumes, and the modalities that the user stated.

    root: base of the candidates' paths; by: where the modalities are stated; unused: other files, and why; fault: why
    the case cannot be read, if its files alone show it.
    """

    name: str
    root: Path
    candidates: tuple[Candidate, ...]
    stated: Mapping[str, str]
    by: str = NAME
    unused: Mapping[str, str] = {}
    fault: str = ""

    @property
    def paths(self) -> list[Path]:
        """The files, sorted; a volume `file#k` of a 4D file adds `file`."""
        return sorted({self.root / name for file in self.files for name in (file, file.split("#")[0])})

    @property
    def folder(self) -> Path:
        """The deepest folder that contains the files."""
        return Path(os.path.commonpath([path.parent for path in self.paths] or [self.root]))

    @property
    def files(self) -> set[str]:
        """Every file considered for the case."""
        return {file for one in self.candidates for file in one.files} | set(self.unused)

    def choose(self) -> Choice:
        """Assigns volumes to modalities. Raises InputError if that is not possible."""
        if self.fault:
            raise InputError(f"case {self.name}: {self.fault}")
        return choose(self.name, self.candidates, self.stated, self.by)

    def unused_beside(self, choice: Choice) -> dict[str, str]:
        """The files of the case that were not used, and why."""
        taken = {file for one in choice.taken.values() for file in one.files}
        left = {file: f"not chosen: {one.why}" for one in self.candidates for file in one.files if file not in taken}
        stacks = {file.split("#")[0] for file in taken}
        return {file: why for file, why in left.items() if file not in stacks} | dict(self.unused)

    def read(self, orientation: str | None = None) -> tuple[dict[str, Volume], list[str]]:
        """The volumes by modality, and their faults.

        Args:
            orientation: of the axes of NIfTI files whose headers lack it, such as 'RAS'.
        """
        try:
            taken = self.choose().taken
        except InputError as error:
            return {}, [str(error)]
        if not any(one.dicom for one in taken.values()):
            row = {name: one.file for name, one in taken.items()} | {"case": self.name, "seg": ""}
            return read_volumes(self.root, row, orientation)
        volumes, faults = {}, []
        for name, one in taken.items():
            try:
                volumes[name] = _read_series(self.root, one)
            except InputError as error:
                faults.append(f"case {self.name}: {name}: {error}")
        return volumes, faults


class Scans(NamedTuple):
    """The volumes of a case on one grid.

    images: float32 [4, X, Y, Z] in the order of MODALITIES; affine: float64 [4, 4], voxel to mm, RAS; remarks: on
    resampling and on doubtful headers or images; sources: the volume used for each modality; header: of T1ce's file,
    None if that is not NIfTI.
    """

    name: str
    images: np.ndarray
    affine: np.ndarray
    remarks: tuple[str, ...]
    sources: Mapping[str, Source] = {}
    header: Header | None = None


def read_scans(case: InputCase, resample: bool, orientation: str | None = None) -> Scans:
    """Reads the four volumes of a case.

    Args:
        resample: resample volumes on other grids to T1ce's by their headers, instead of refusing them.
        orientation: of the axes of NIfTI files whose headers lack it, such as 'RAS'.

    Raises:
        InputError: a volume is missing, broken, on another grid, mislabelled, or a copy of another one; lists all
            faults.
    """
    volumes, faults = case.read(orientation)
    faults += grid_faults(case.name, volumes, resample, permit="give --resample") + copies(case.name, volumes)
    if faults:
        raise InputError("\n".join(faults))
    moved = off_grid(volumes)
    volumes = on_one_grid(volumes)
    images = np.stack([volumes[name].values for name in MODALITIES])
    choice, faults, remarks = checked(case.name, case.choose(), enhancement(images[0], images[1]))
    if faults:
        raise InputError("\n".join(faults))
    if moved:
        remarks.append(f"{', '.join(moved)} resampled to the grid of t1ce by headers, without motion correction")
    t1ce = volumes["t1ce"]
    remarks = (*header_remarks(volumes), *remarks)
    return Scans(case.name, images, t1ce.affine, remarks, choice.sources, t1ce.header)


def fault_of(
    case: InputCase, read: Callable[[InputCase], Scans], spacing: float, percentiles: tuple[float, float]
) -> str:
    """Faults that prevent prediction of a case, one per line; '' if there are none.

    Args:
        read: `read_scans` with everything bound but the case.
        spacing, percentiles: as in `btlib.volumes.data.normalize.normalize`.
    """
    try:
        scans = read(case)
        normalize(scans.name, scans.images, None, scans.affine, spacing, percentiles)
    except InputError as error:
        return str(error)
    return ""


def _read_series(root: Path, series: Candidate) -> Volume:
    if not series.dicom:
        raise InputError(f"{series.file} is not a DICOM series, but others of the case are; convert them all to NIfTI")
    if series.fault:
        raise InputError(f"{series.file} and others of its series: {series.fault}; copy the study again")
    return stacked(root, headers(root, series.files))
