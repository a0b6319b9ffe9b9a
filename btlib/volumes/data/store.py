"""Normalised cases on disk, and resampling back to the grid of the input files."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
import pandas as pd

from btlib.core.runtime.artifacts import atomic_path, read_csv
from btlib.core.runtime.errors import InputError, guarded
from btlib.volumes.data.geometry import axis_weights, from_ras, resampled, to_ras
from btlib.volumes.data.volume import Header

ARRAYS = ("image", "affine", "native_affine")  # of every case
# DVC may have cached the damaged file, and would restore it if it is only deleted.
REMEDY = "recreate it: `dvc repro -f -s normalize_volumes`, then `dvc repro`"


class Case(NamedTuple):
    """One scan session of a patient on the normalised grid, with the geometry of its input files."""

    name: str
    image: np.ndarray  # float16 [4, X, Y, Z] in the order of MODALITIES, z-scored inside the brain, 0 outside
    seg: np.ndarray | None  # uint8 [X, Y, Z], canonical labels
    affine: np.ndarray  # float64 [4, 4], voxel of this grid -> mm RAS
    native_affine: np.ndarray  # float64 [4, 4], of the grid of the input files
    native_shape: tuple[int, int, int]
    native_header: Header | None = None  # of T1ce's file; None: both forms are native_affine, with code 1


def case_path(folder: Path, name: str) -> Path:
    return Path(folder) / f"{name}.npz"


def save_case(path: Path, case: Case) -> None:
    """Writes one case as a compressed .npz, omitting a missing segmentation or header."""
    arrays = {name: getattr(case, name) for name in (*ARRAYS, "seg", "native_shape") if getattr(case, name) is not None}
    if case.native_header:
        arrays |= case.native_header._asdict()
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, **arrays)


def load_case(folder: Path, name: str) -> Case:
    """Reads one case. Raises InputError if its file is missing, truncated or invalid."""
    path = case_path(folder, name)
    if not path.is_file():
        raise InputError(f"{path}: no such file; run `dvc repro` to create it or `dvc pull` to fetch it")
    with guarded(str(path), "normalised case", REMEDY), np.load(path, allow_pickle=False) as file:
        return Case(
            name,
            seg=file.get("seg"),
            native_shape=tuple(int(side) for side in file["native_shape"]),
            native_header=_native_header(file),
            **{key: file[key] for key in ARRAYS},
        )


def _native_header(file: Mapping[str, np.ndarray]) -> Header | None:
    if "sform" not in file:
        return None
    return Header(file["sform"], int(file["sform_code"]), file["qform"], int(file["qform_code"]))


def load_index(folder: Path) -> pd.DataFrame:
    """One row per case: `case, patient, grade` ('' if unknown) and `has_seg`."""
    return read_csv(Path(folder) / "index.csv", text=("case", "patient", "grade"))


def to_native(maps: np.ndarray, case: Case, order: int = 1) -> np.ndarray:
    """Resamples maps from the normalised grid to the grid of the input files.

    Outside the brain's box maps are 0, decaying within one voxel of its faces.

    Args:
        maps: [C, X, Y, Z].
        case: of the maps.
        order: 1 linear, 0 nearest voxel (for labels).

    Returns:
        float32 [C, *native_shape].
    """
    native, native_affine = to_ras(np.broadcast_to(False, case.native_shape), case.native_affine)
    # Both grids now have the same axes, so this matrix is diagonal: a scale and shift for each axis.
    between = np.linalg.solve(case.affine, native_affine)
    weights = []
    for axis, (count, size) in enumerate(zip(native.shape, maps.shape[1:], strict=True)):
        centers = between[axis, axis] * np.arange(count) + between[axis, 3]
        weights.append(axis_weights(centers if order else np.rint(centers), size))
    return np.ascontiguousarray(from_ras(np.stack([resampled(each, weights) for each in maps]), case.native_affine))


def write_nifti(path: Path, native: np.ndarray, case: Case) -> None:
    """Writes a map or mask on the grid of the input files as NIfTI, with both forms of their header, so that every
    program displays it at the same position. No text about the patient is written.

    Args:
        path: `….nii.gz` or `….nii`.
        native: [X, Y, Z] on the input grid; integers and booleans become uint8, everything else float32.
        case: provides the input grid.
    """
    if native.shape != case.native_shape:
        raise ValueError(f"{path}: {native.shape} voxels are not the input grid of {case.name}, {case.native_shape}")
    sform, sform_code, qform, qform_code = case.native_header or Header(case.native_affine, 1, case.native_affine, 1)
    image = nib.Nifti1Image(native.astype(np.uint8 if native.dtype.kind in "biu" else np.float32), None)
    image.set_sform(sform, sform_code)
    image.set_qform(qform, qform_code)
    image.header.set_xyzt_units("mm")
    with atomic_path(path) as temporary:
        nib.save(image, temporary)
