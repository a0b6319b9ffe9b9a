"""The four volumes of a case: which are taken, read and brought onto one grid."""

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
from btlib.volumes.data.conventions import MODALITIES
from btlib.volumes.data.normalize import normalize
from btlib.volumes.data.reading import grid_faults, header_remarks, off_grid, on_one_grid, read_volumes
from btlib.volumes.data.volume import Header, Volume


class InputCase(NamedTuple):
    """A case that somebody named: the volumes that lie there, and what was stated of them and where.

    root: what the candidates' paths are relative to; unused: other files of the case, and why they are not taken.
    """

    name: str
    root: Path
    candidates: tuple[Candidate, ...]
    stated: Mapping[str, str]
    by: str = NAME
    unused: Mapping[str, str] = {}

    @property
    def files(self) -> set[str]:
        """Every file that was looked at for the case."""
        return {file for one in self.candidates for file in one.files} | set(self.unused)

    def choose(self) -> Choice:
        """Raises InputError when it cannot be told which volume is which modality."""
        return choose(self.name, self.candidates, self.stated, self.by)

    def unused_beside(self, choice: Choice) -> dict[str, str]:
        """The files of the case that were not taken, and why."""
        taken = {file for one in choice.taken.values() for file in one.files}
        left = {file: f"not taken: {one.why}" for one in self.candidates for file in one.files if file not in taken}
        stacks = {file.split("#")[0] for file in taken}
        return {file: why for file, why in left.items() if file not in stacks} | dict(self.unused)

    def read(self, orientation: str | None = None) -> tuple[dict[str, Volume], list[str]]:
        """The volumes by modality, and what is wrong with them.

        Args:
            orientation: where the axes of NIfTI files point whose headers do not say it, such as 'RAS'.
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
                volumes[name] = _stacked(self.root, one)
            except InputError as error:
                faults.append(f"case {self.name}: {name}: {error}")
        return volumes, faults


class Scans(NamedTuple):
    """The volumes of a case on one grid.

    images: float32 [4, X, Y, Z] in the order of MODALITIES; affine: float64 [4, 4], voxel to mm, RAS; remarks: what
    had to be done to bring them there, and what must be said of them; sources: what was taken for each modality;
    header: of T1ce's file, None where it is no NIfTI.
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
        resample: bring volumes from other grids onto T1ce's by their headers, instead of refusing them.
        orientation: where the axes of NIfTI files point whose headers do not say it, such as 'RAS'.

    Raises:
        InputError: a volume is missing, broken, on another grid, or not what it is called; lists all faults.
    """
    volumes, faults = case.read(orientation)
    faults += grid_faults(case.name, volumes, resample, permit="give --resample")
    if faults:
        raise InputError("\n".join(faults))
    moved = off_grid(volumes)
    volumes = on_one_grid(volumes)
    images = np.stack([volumes[name].values for name in MODALITIES])
    choice, faults, remarks = checked(case.name, case.choose(), enhancement(images[0], images[1]))
    if faults:
        raise InputError("\n".join(faults))
    if moved:
        remarks.append(f"{', '.join(moved)} brought onto the grid of t1ce by headers, which know of no movement")
    t1ce = volumes["t1ce"]
    said = (*header_remarks(volumes), *remarks)
    return Scans(case.name, images, t1ce.affine, said, choice.sources, t1ce.header)


def fault_of(
    case: InputCase, read: Callable[[InputCase], Scans], spacing: float, percentiles: tuple[float, float]
) -> str:
    """What keeps a case from being predicted, a line for each fault; '' where nothing does.

    Args:
        read: `read_scans` with all but the case.
        spacing, percentiles: as in `btlib.volumes.data.normalize.normalize`.
    """
    try:
        scans = read(case)
        normalize(scans.name, scans.images, None, scans.affine, spacing, percentiles)
    except InputError as error:
        return str(error)
    return ""


def _stacked(root: Path, series: Candidate) -> Volume:
    if not series.dicom:
        raise InputError(f"{series.file} is no DICOM series, but others of the case are; convert them all to NIfTI")
    if series.fault:
        raise InputError(f"{series.file} and others of its series: {series.fault}; copy the study again")
    return stacked(root, headers(root, series.files))
