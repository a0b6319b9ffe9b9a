"""Normalised cases on disk, and the way from their grid back to the one that the scanner's files have."""

from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
import pandas as pd

from btlib.artifacts import atomic_path, read_csv
from btlib.data.volumes.geometry import axis_weights, from_ras, resampled, to_ras
from btlib.data.volumes.header import Header
from btlib.errors import InputError


class Case(NamedTuple):
    """One patient's visit on the normalised grid, with the geometry of the files that it came from."""

    name: str
    image: np.ndarray  # float16 [4, X, Y, Z] in the order of MODALITIES, z-scored inside the brain, 0 outside
    seg: np.ndarray | None  # uint8 [X, Y, Z], canonical labels
    affine: np.ndarray  # float64 [4, 4], voxel of this grid -> mm RAS
    native_affine: np.ndarray  # float64 [4, 4], of the grid of the input files
    native_shape: tuple[int, int, int]
    native_header: Header | None = None  # of the input files; None: both forms are native_affine, with code 1


def case_path(folder: Path, name: str) -> Path:
    return Path(folder) / f"{name}.npz"


def save_case(path: Path, case: Case) -> None:
    """Writes one case as a compressed .npz; one without segmentation has no entry `seg`."""
    arrays = {key: value for key, value in case._asdict().items() if key != "name" and value is not None}
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, **arrays)


def load_case(folder: Path, name: str) -> Case:
    """Reads one case. Raises InputError when its file is missing, cut short or something else."""
    path = case_path(folder, name)
    if not path.is_file():
        raise InputError(f"{path}: no such file; run `dvc repro` (or `dvc pull`) to make it")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in ("image", "affine", "native_affine")}
            seg = file.get("seg")
            shape = tuple(int(side) for side in file["native_shape"])
    except Exception as error:  # damaged archives make NumPy and zipfile raise almost any kind
        raise InputError(
            f"{path}: not a whole normalised case ({error}); delete it and run `dvc repro` again"
        ) from error
    return Case(name, seg=seg, native_shape=shape, **arrays)


def load_index(folder: Path) -> pd.DataFrame:
    """One row per case: `case, patient, grade` ('' unknown) and `has_seg`."""
    return read_csv(Path(folder) / "index.csv", text=("case", "patient", "grade"))


def to_native(maps: np.ndarray, case: Case, order: int = 1) -> np.ndarray:
    """Maps on the normalised grid, resampled onto the grid of the input files.

    Each voxel of that grid takes the value at its place in space. Outside of the brain's box there is nothing, so
    that maps fade to 0 within one voxel of its faces and stay 0 beyond.

    Args:
        maps: [C, X, Y, Z].
        case: where they lie.
        order: 1 linear, 0 nearest voxel (for labels).

    Returns:
        float32 [C, *native_shape].
    """
    native, native_affine = to_ras(np.broadcast_to(False, case.native_shape), case.native_affine)
    # Both grids have the same axes by now, so that this matrix is diagonal: each axis has its own scale and shift.
    between = np.linalg.solve(case.affine, native_affine)
    weights = []
    for axis, (count, size) in enumerate(zip(native.shape, maps.shape[1:], strict=True)):
        centres = between[axis, axis] * np.arange(count) + between[axis, 3]
        weights.append(axis_weights(centres if order else np.rint(centres), size))
    return np.ascontiguousarray(from_ras(np.stack([resampled(each, weights) for each in maps]), case.native_affine))


def write_nifti(path: Path, native: np.ndarray, case: Case) -> None:
    """Writes a map or a mask on the grid of the input files as NIfTI, with their affine and no text about the patient.

    Args:
        path: `….nii.gz` or `….nii`.
        native: [X, Y, Z] of the input grid; whole numbers and booleans become uint8, everything else float32.
        case: whose input grid it is.
    """
    if native.shape != case.native_shape:
        raise ValueError(f"{path}: {native.shape} voxels are not the input grid of {case.name}, {case.native_shape}")
    image = nib.Nifti1Image(native.astype(np.uint8 if native.dtype.kind in "biu" else np.float32), case.native_affine)
    image.header.set_xyzt_units("mm")
    with atomic_path(path) as temporary:
        nib.save(image, temporary)
