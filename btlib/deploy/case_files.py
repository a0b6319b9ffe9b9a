"""Finds the cases in what a user names, and reads their volumes: NIfTI files or DICOM studies."""

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import nibabel as nib
import numpy as np

from btlib.data.sources.entry import Scan
from btlib.data.sources.files import walk
from btlib.data.volumes.conventions import MODALITIES
from btlib.data.volumes.ingest import CASE_NAME
from btlib.data.volumes.reading import SUFFIXES, Volume, grid_faults, off_grid, on_one_grid, read_volumes
from btlib.data.volumes.sources import recognise, table
from btlib.data.volumes.sources.entry import Entry
from btlib.deploy.dicom_study import headers, is_volume, read_study
from btlib.deploy.modality_words import OTHER, spoken
from btlib.errors import InputError

DECATHLON = ("flair", "t1", "t1ce", "t2")  # the volumes of a file of Task01_BrainTumour
LISTS = (table.NAME, "dataset.json")  # of a set's cases
REMEDY = (
    "a case is a folder with four NIfTI files whose names say T1, T1ce, T2 and FLAIR, a BraTS set, a 4D file of the "
    "Decathlon, a cases.csv, or the folder of a DICOM study"
)


class InputCase(NamedTuple):
    """A case that somebody named; `read` gives its volumes by modality, and what is wrong with them."""

    name: str
    read: Callable[[], tuple[dict[str, Volume], list[str]]]


class Scans(NamedTuple):
    """The volumes of a case on one grid.

    images: float32 [4, X, Y, Z] in the order of MODALITIES; affine: float64 [4, 4], voxel to mm, RAS; remarks: what
    had to be done to bring them there.
    """

    name: str
    images: np.ndarray
    affine: np.ndarray
    remarks: tuple[str, ...]


def is_case(path: Path) -> bool:
    """Whether a file or folder is to be read as volumes: NIfTI, a list of cases, or DICOM series of many slices."""
    if not path.is_dir():
        return path.name in LISTS or path.name.endswith(SUFFIXES)
    names = _files(path)
    if any(name.endswith(SUFFIXES) for name in names) or any((path / name).is_file() for name in LISTS):
        return True
    return is_volume(headers(path, names))


def find_cases(paths: Sequence[Path]) -> tuple[list[InputCase], list[str]]:
    """The cases in files and folders, sorted by name, and what is wrong with how they lie there."""
    cases, faults = [], []
    for path in paths:
        try:
            cases += _cases_in(path)
        except InputError as error:
            faults.append(str(error))
    names = Counter(case.name for case in cases)
    for name, count in sorted(names.items()):
        if count > 1:
            faults.append(f"case {name}: found {count} times; rename the folders, or predict them apart")
        if not CASE_NAME.fullmatch(name):
            faults.append(
                f"case {name!a}: its name becomes a folder's: use letters, digits, '.', '_' and '-', at most 100"
            )
    return sorted(cases, key=lambda case: case.name), faults


def read_scans(case: InputCase, resample: bool) -> Scans:
    """Reads the four volumes of a case.

    Args:
        resample: bring volumes from other grids onto T1ce's by their headers, instead of refusing them.

    Raises:
        InputError: a volume is missing, broken or on another grid; lists all faults.
    """
    volumes, faults = case.read()
    moved = off_grid(volumes) if "t1ce" in volumes else []
    if moved and not resample:
        faults.append(
            f"case {case.name}: {', '.join(moved)} not on the grid of t1ce; co-register the scans and strip the skull, "
            "as for the training, or give --resample to bring them there by their headers alone"
        )
    faults += grid_faults(case.name, volumes, resample=True)
    if faults:
        raise InputError("\n".join(faults))
    volumes = on_one_grid(volumes)
    images = np.stack([volumes[name].values for name in MODALITIES])
    remark = f"{', '.join(moved)} brought onto the grid of t1ce by headers, which know of no movement"
    return Scans(case.name, images, volumes["t1ce"].affine, (remark,) if moved else ())


def _cases_in(path: Path) -> list[InputCase]:
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    if not path.is_dir():
        return _of_file(path)
    if any((path / name).is_file() for name in LISTS):
        return _of_entries(path, recognise.scan(path).entries)
    names = _files(path)
    nifti = [name for name in names if name.endswith(SUFFIXES)]
    cases = _of_nifti(path, nifti) if nifti else _of_dicom(path, names)
    if not cases:
        raise InputError(f"{path}: no case found; {REMEDY}")
    return cases


def _of_file(path: Path) -> list[InputCase]:
    if path.name in LISTS:
        return _cases_in(path.parent)
    if not path.name.endswith(SUFFIXES):
        raise InputError(f"{path}: not a case; {REMEDY}")
    if _volumes_in(path) not in (None, len(DECATHLON)):
        raise InputError(f"{path}: does not hold {len(DECATHLON)} volumes; name the folder of all four scans")
    volumes = {name: f"{path.name}#{number}" for number, name in enumerate(DECATHLON)}
    return _of_entries(path.parent, [Entry(path.name.split(".")[0], **volumes)])


def _volumes_in(path: Path) -> int | None:
    """As the header of a NIfTI file says; None where it cannot be read, of which `read_volumes` says more."""
    try:
        shape = nib.load(path).shape
    except Exception:  # damaged files make nibabel raise almost any kind
        return None
    return shape[3] if len(shape) == 4 else 1


def _of_entries(root: Path, entries: Sequence[Entry]) -> list[InputCase]:
    """Without their segmentations and grades, which prediction does not need."""
    rows = [asdict(entry) | {"seg": ""} for entry in entries]
    return [InputCase(row["case"], partial(read_volumes, root, row)) for row in rows]


def _of_nifti(root: Path, names: Sequence[str]) -> list[InputCase]:
    """By the names that BraTS gives; where others lie among them, each folder is a case and the words in names count.

    Raises:
        InputError: no four files of a folder are the four modalities.
    """
    try:
        scan = recognise.scan(root)
    except InputError:
        scan = None
    if scan and not scan.broken:
        return _of_entries(root, scan.entries)
    folders: dict[PurePosixPath, list[str]] = defaultdict(list)
    for name in names:
        folders[PurePosixPath(name).parent].append(name)
    found, faults = [], []
    for folder, files in folders.items():
        named = {file: _modality(PurePosixPath(file).name) for file in files}
        if sorted(filter(None, named.values())) == sorted(MODALITIES):
            volumes = {modality: file for file, modality in named.items() if modality}
            found.append(Entry(_case_name(root, folder), **volumes))
        else:
            seen = ", ".join(
                f"{PurePosixPath(file).name} ({modality or 'not used'})" for file, modality in named.items()
            )
            faults.append(f"{root / folder}: expected one NIfTI file each of t1, t1ce, t2 and flair, found {seen}")
    if faults:
        raise InputError("\n".join(faults) + f"\n    {REMEDY}")
    return _of_entries(root, found)


def _modality(name: str) -> str | None:
    """The modality that a file's name speaks of, if any."""
    words = spoken(name.split(".nii")[0])
    if words.weighting == OTHER:
        return None
    return "t1ce" if words.weighting == "t1" and words.contrast else words.weighting


def _of_dicom(root: Path, names: Sequence[str]) -> list[InputCase]:
    """One case for each study, named after its folder.

    Raises:
        InputError: the files of several studies lie in one folder.
    """
    studies: dict[str, list[str]] = defaultdict(list)
    for one in headers(root, names):
        studies[str(one.tags.get("StudyInstanceUID"))].append(one.path)
    folders = [PurePosixPath()] if len(studies) == 1 else [_common(files) for files in studies.values()]
    if len(set(folders)) < len(folders):
        raise InputError(
            f"{root}: the files of {len(studies)} DICOM studies lie together; give each a folder of its own"
        )
    found = [(_case_name(root, folder), files) for folder, files in zip(folders, studies.values(), strict=True)]
    return [InputCase(name, partial(read_study, name, root, files)) for name, files in found]


def _common(files: Sequence[str]) -> PurePosixPath:
    """The deepest folder that holds them all."""
    return PurePosixPath(os.path.commonpath([PurePosixPath(file).parent for file in files]))


def _case_name(root: Path, folder: PurePosixPath) -> str:
    """Of a case in `folder`, relative to `root`: the folders' names, or that of `root` itself."""
    return "_".join(folder.parts) or root.resolve().name


def _files(root: Path) -> list[str]:
    """Every file below a folder, relative to it, but for what file managers and archives put there.

    Raises:
        InputError: a folder is a link or may not be read.
    """
    scan = Scan()
    names = [str(place / name) for place, files in walk(root, scan) for name in files]
    if scan.broken:
        raise InputError("\n".join(f"{root}: {fault}" for fault in scan.broken))
    return names
