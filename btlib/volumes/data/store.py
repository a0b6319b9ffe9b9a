"""Normalised cases on disk, and resampling back to the grid of the input files."""

from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
import pandas as pd

from btlib.core.runtime.artifacts import atomic_path, read_csv
from btlib.volumes.data.geometry import axis_weights, from_ras, resampled, to_ras
from btlib.volumes.data.record import map_record, verify, write_record
from btlib.volumes.data.volume import Header


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
    return Path(folder) / f"{name}.npy"


def save_case(path: Path, case: Case) -> None:
    """Writes one case, omitting a missing segmentation or header."""
    arrays = case._asdict()
    del arrays["name"], arrays["native_header"]
    if case.seg is None:
        del arrays["seg"]
    if case.native_header:
        arrays |= case.native_header._asdict()
    write_record(path, arrays)


def load_case(folder: Path, name: str) -> Case:
    """Maps one case and compares it with its checksum. Raises InputError if its file is missing or damaged."""
    path = case_path(folder, name)
    record = map_record(path)
    verify(path, record)
    return case_of(name, record)


def case_of(name: str, record: np.ndarray) -> Case:
    """The case of a mapped file; its image and segmentation remain on disk until they are used."""
    names = record.dtype.names
    return Case(
        name,
        image=record["image"],
        seg=record["seg"] if "seg" in names else None,
        affine=np.array(record["affine"]),
        native_affine=np.array(record["native_affine"]),
        native_shape=tuple(record["native_shape"].tolist()),
        native_header=_native_header(record) if "sform" in names else None,
    )


def _native_header(record: np.ndarray) -> Header:
    sform, qform = np.array(record["sform"]), np.array(record["qform"])
    return Header(sform, int(record["sform_code"]), qform, int(record["qform_code"]))


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
