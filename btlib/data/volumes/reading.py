"""Reads the volumes of one case from NIfTI files. File names and headers are not trusted."""

import gzip
import re
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np

from btlib.data.reading import resolve_inside
from btlib.data.volumes.conventions import MODALITIES
from btlib.data.volumes.header import Header
from btlib.data.volumes.labels import canonical
from btlib.data.volumes.resample import onto_grid, same_grid
from btlib.errors import InputError, listed

SUFFIXES = (".nii", ".nii.gz")
MIN_SIDE = 8  # voxels; fewer slices are a scout, not a volume
MAX_VOXELS = 2**28  # in one file: a set of four at 400³; a larger header is broken, and would fill the memory
VOXEL_SIZES = (0.1, 20.0)  # mm
BRAIN_SHARE = 0.6  # a box around a brain is filled to about a half (an ellipsoid: π/6)
CHANNEL = re.compile(r"(?P<file>.+)#(?P<number>\d+)")  # one volume of a 4D file


class Volume(NamedTuple):
    """One volume as its file holds it."""

    path: str  # as the manifest names it, relative to the root
    values: np.ndarray  # float32 [X, Y, Z]
    affine: np.ndarray  # float64 [4, 4], voxel to mm, RAS
    positioned: bool  # whether the header says where in space the voxels are
    header: Header | None = None  # as the file has it; None where the file is no NIfTI
    remarks: tuple[str, ...] = ()  # what must be said of the header

    @property
    def grid(self) -> tuple[tuple[int, ...], np.ndarray]:
        return self.values.shape, self.affine


def is_nifti(name: str) -> bool:
    """Whether the name of a file says NIfTI, whatever its case."""
    return name.lower().endswith(SUFFIXES)


def read_case(root: Path, row: Mapping[str, str], resample: bool) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
    """The volumes of one case on one grid, that of T1ce.

    Args:
        root: the volumes' folder.
        row: of the manifest: `case`, the four modalities, `seg`, `labels`.
        resample: bring volumes from other grids onto T1ce's by their headers, instead of refusing them.

    Returns:
        images float32 [4, X, Y, Z] in the order of MODALITIES; canonical labels uint8 [X, Y, Z], None without a
        segmentation; affine float64 [4, 4], voxel to mm, RAS.

    Raises:
        InputError: a file is not whole, holds no numbers that make sense, or lies on another grid; lists all faults.
    """
    volumes, faults = read_volumes(root, row)
    faults += grid_faults(row["case"], volumes, resample)
    if faults:
        raise InputError(f"case {row['case']}:\n{listed(faults)}")
    volumes = on_one_grid(volumes)
    seg = canonical(volumes["seg"].values, row["labels"], row["seg"]) if row["seg"] else None
    return np.stack([volumes[name].values for name in MODALITIES]), seg, volumes["t1ce"].affine


def read_volumes(root: Path, row: Mapping[str, str]) -> tuple[dict[str, Volume], list[str]]:
    """Every volume of a case that can be read, by modality and `seg`, and what is wrong with its files.

    Modalities that hold NaN, infinity or one value only are in both.
    """
    volumes, faults = {}, []
    read = cache(partial(_read_file, root))  # a 4D file is read once for its four volumes
    for name in (*MODALITIES, "seg"):
        path = row[name]
        try:
            if path:
                volumes[name] = _volume(read, path)
                if name != "seg":  # whose numbers are checked against a label convention
                    _check_values(volumes[name])
            elif name != "seg":
                raise InputError(f"case {row['case']}: no {name} volume; add the file, or remove the case")
        except InputError as error:
            faults.append(str(error))
    return volumes, list(dict.fromkeys(faults))


def off_grid(volumes: Mapping[str, Volume]) -> list[str]:
    """The modalities (and `seg`) whose grid is not T1ce's."""
    return [name for name in volumes if not same_grid(*volumes[name].grid, *volumes["t1ce"].grid)]


def grid_faults(case: str, volumes: Mapping[str, Volume], resample: bool) -> list[str]:
    """What keeps the volumes from being on one grid, or from being brought onto one; nothing without a T1ce."""
    off = off_grid(volumes) if "t1ce" in volumes else []
    if off and not resample:
        grids = ", ".join(f"{volumes[name].path} {_described(volumes[name])}" for name in ("t1ce", *off))
        return [
            f"case {case}: not on one grid: {grids}; co-register the scans and strip the skull, as BraTS does, or set "
            "volumes.resample: true to bring them onto the grid of t1ce by their headers alone"
        ]
    lost = [volumes[name].path for name in ("t1ce", *off) if off and not volumes[name].positioned]
    return [f"{path}: the header does not say where the volume lies; co-register the scans of {case}" for path in lost]


def on_one_grid(volumes: Mapping[str, Volume]) -> dict[str, Volume]:
    """The volumes, those from other grids resampled onto T1ce's: intensities linearly, labels by nearest neighbour.

    Raises:
        InputError: by their headers, a volume and T1ce are in different places.
    """
    placed = dict(volumes)
    shape, affine = volumes["t1ce"].grid
    for name in off_grid(volumes):
        old = volumes[name]
        values = onto_grid(old.values, old.affine, shape, affine, order=0 if name == "seg" else 1)
        if old.values.any() and not values.any():
            raise InputError(
                f"{old.path}: by the headers it lies beside {volumes['t1ce'].path}, not over it; co-register them"
            )
        placed[name] = old._replace(values=values, affine=affine)
    return placed


def unstripped(volumes: Mapping[str, Volume]) -> list[str]:
    """The modalities too full for a stripped brain: skull, noise in the air, or a background that is not 0."""
    filled = {name: np.count_nonzero(volumes[name].values) / volumes[name].values.size for name in MODALITIES}
    return [name for name, share in filled.items() if share > BRAIN_SHARE]


def _described(volume: Volume) -> str:
    sides = "×".join(map(str, volume.values.shape))
    sizes = "×".join(f"{size:.2f}" for size in nib.affines.voxel_sizes(volume.affine))
    origin = ", ".join(f"{position:.1f}" for position in volume.affine[:3, 3])
    return f"({sides} voxels of {sizes} mm from ({origin}))"


def _volume(read: Callable[[str], tuple[np.ndarray, np.ndarray, bool]], path: str) -> Volume:
    match = CHANNEL.fullmatch(path)
    values, affine, positioned = read(match["file"] if match else path)
    count = values.shape[3]
    if match and int(match["number"]) >= count:
        raise InputError(f"{path}: there is no volume {match['number']}; the file holds {count}, counted from 0")
    if not match and count > 1:
        raise InputError(f"{path}: holds {count} volumes; name one of them, as in {path}#0")
    return Volume(path, values[..., int(match["number"]) if match else 0], affine, positioned)


def _read_file(root: Path, path: str) -> tuple[np.ndarray, np.ndarray, bool]:
    """float32 [X, Y, Z, volumes], affine, and whether the header has a position."""
    real = resolve_inside(root, path)
    if not is_nifti(path):
        raise InputError(f"{path}: not a NIfTI file ({' or '.join(SUFFIXES)})")
    try:
        kind = nib.Nifti2Image if nib.Nifti2Image.path_maybe_image(real)[0] else nib.Nifti1Image
        with (gzip.open if path.endswith(".gz") else open)(real, "rb") as handle:
            image = kind.from_stream(handle)
            _check_header(image, path)
            values = image.get_fdata(dtype=np.float32, caching="unchanged")
            while handle.read(2**20):  # at the file's end, gzip compares the checksum
                pass
    except InputError:
        raise
    except Exception as error:  # damaged files make nibabel and gzip raise almost any kind
        reason = " ".join(str(error).replace(str(real), "it").split())
        raise InputError(f"{path}: not a whole NIfTI file ({reason}); copy or download it again") from error
    header = image.header
    positioned = bool(header["sform_code"] > 0 or header["qform_code"] > 0)
    return values.reshape(*values.shape[:3], -1), image.affine, positioned


def _check_header(image: nib.Nifti1Image, path: str) -> None:
    """Before anything is allocated for what the header promises."""
    shape, kind = image.shape, image.get_data_dtype()
    sides = "×".join(map(str, shape))
    if len(shape) < 3 or min(shape[:3]) < MIN_SIDE:
        raise InputError(f"{path}: {sides} voxels, expected a volume of at least {MIN_SIDE} on each side")
    if np.prod(shape, dtype=float) > MAX_VOXELS:
        raise InputError(f"{path}: {sides} voxels by its header, more than the {MAX_VOXELS:,} allowed")
    if kind.kind not in "iuf":
        raise InputError(f"{path}: voxels of type {kind}, expected whole or real numbers")
    sizes = nib.affines.voxel_sizes(image.affine)
    low, high = VOXEL_SIZES
    if not np.isfinite(image.affine).all():
        raise InputError(f"{path}: the position in its header is NaN or infinite; mend sform and qform")
    if not ((sizes >= low).all() and (sizes <= high).all()):
        raise InputError(f"{path}: voxels of {sizes.round(3).tolist()} mm by its header, expected {low} to {high} mm")
    if abs(np.linalg.det(image.affine[:3, :3] / sizes)) < 0.1:
        raise InputError(f"{path}: by its header two axes of the volume point the same way; mend sform and qform")


def _check_values(volume: Volume) -> None:
    bad = volume.values.size - np.count_nonzero(np.isfinite(volume.values))
    if bad:
        raise InputError(f"{volume.path}: {bad} voxels are NaN or infinite; export the volume again")
    if volume.values.min() == volume.values.max():
        raise InputError(
            f"{volume.path}: blank, every voxel is {volume.values.flat[0]:g}; export it again or remove the case"
        )
