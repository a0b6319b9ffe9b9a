"""Reads the volumes of one case from NIfTI files, and resamples them to one grid."""

import re
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path

import numpy as np

from btlib.core.runtime.errors import InputError, listed
from btlib.core.runtime.paths import resolve_inside
from btlib.volumes.data.conventions import MODALITIES
from btlib.volumes.data.coverage import coverage
from btlib.volumes.data.grid import differences, same_grid
from btlib.volumes.data.labels import canonical
from btlib.volumes.data.nifti import Nifti, read_nifti
from btlib.volumes.data.resample import onto_grid
from btlib.volumes.data.volume import Header, Volume

SUFFIXES = (".nii", ".nii.gz")
BRAIN_SHARE = 0.6  # largest share of a brain in its bounding box (about one half; π/6 for an ellipsoid)
MIN_COVERAGE = 0.95  # of the brain by each modality; real cases of BraTS 2018 have at least 0.99
CHANNEL = re.compile(r"(?P<file>.+)#(?P<number>\d+)")  # one volume of a 4D file


def is_nifti(name: str) -> bool:
    """Whether a file has a NIfTI extension, ignoring case."""
    return name.lower().endswith(SUFFIXES)


def read_case(
    root: Path, row: Mapping[str, str], resample: bool
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray, Header | None]:
    """The volumes of one case on T1ce's grid.

    Args:
        root: the volumes' folder.
        row: of the manifest: `case`, the four modalities, `seg`, `labels`.
        resample: resample volumes on other grids to T1ce's by their headers, instead of refusing them.

    Returns:
        Images float32 [4, X, Y, Z] in the order of MODALITIES; canonical labels uint8 [X, Y, Z], None without a
        segmentation; affine float64 [4, 4], voxel to mm, RAS; T1ce's header.

    Raises:
        InputError: a file is incomplete, contains invalid values, is on another grid, or covers only part of the brain;
            lists all faults.
    """
    volumes, faults = read_volumes(root, row)
    faults += grid_faults(row["case"], volumes, resample)
    if faults:
        raise InputError(f"case {row['case']}:\n{listed(faults)}")
    volumes = on_one_grid(volumes)
    seg = canonical(volumes["seg"].values, row["labels"], row["seg"]) if row["seg"] else None
    t1ce = volumes["t1ce"]
    return np.stack([volumes[name].values for name in MODALITIES]), seg, t1ce.affine, t1ce.header


def read_volumes(
    root: Path, row: Mapping[str, str], orientation: str | None = None
) -> tuple[dict[str, Volume], list[str]]:
    """Every readable volume of a case, by modality and `seg`, and the faults of its files.

    Modalities with NaN, infinity or a single value are in both.

    Args:
        orientation: of the axes of files whose headers lack it, such as 'RAS'; if None, these are refused.
    """
    volumes, faults = {}, []
    read = cache(partial(_read_file, root, orientation))  # a 4D file is read once for its four volumes
    for name in (*MODALITIES, "seg"):
        path = row[name]
        try:
            if path:
                volumes[name] = _volume(read, path)
                if name != "seg":  # its numbers are checked against a label convention
                    _check_values(volumes[name])
            elif name != "seg":
                raise InputError(f"case {row['case']}: no {name} volume; add the file, or remove the case")
        except InputError as error:
            faults.append(str(error))
    return volumes, list(dict.fromkeys(faults))


def off_grid(volumes: Mapping[str, Volume]) -> list[str]:
    """The modalities (and `seg`) whose grid is not T1ce's."""
    return [name for name in volumes if not same_grid(*volumes[name].grid, *volumes["t1ce"].grid)]


def grid_faults(
    case: str, volumes: Mapping[str, Volume], resample: bool, permit: str = "set volumes.resample: true"
) -> list[str]:
    """Reasons why the volumes are not on one grid, or cannot be resampled to one; none without a T1ce.

    Args:
        permit: how the user enables `resample`.
    """
    off = off_grid(volumes) if "t1ce" in volumes else []
    if off and not resample:
        t1ce = volumes["t1ce"]
        apart = ", ".join(f"{volumes[name].path} ({differences(*volumes[name].grid, *t1ce.grid)})" for name in off)
        return [
            f"case {case}: not on the grid of {t1ce.path}: {apart}; co-register and skull-strip the scans, as in "
            f"BraTS (if only a header is wrong, copy that of {t1ce.path}), or {permit} to resample them by their "
            "headers alone"
        ]
    lost = [volumes[name].path for name in ("t1ce", *off) if off and not volumes[name].positioned]
    return [f"{path}: the header has no position; co-register the scans of {case}" for path in lost]


def on_one_grid(volumes: Mapping[str, Volume]) -> dict[str, Volume]:
    """Resamples volumes on other grids to T1ce's: intensities linearly, labels by nearest neighbour.

    Scans with skull and air may reach down the neck to different heights, so partial coverage only adds a remark.

    Raises:
        InputError: by their headers, a volume and T1ce do not overlap; or one of several skull-stripped scans covers
            less than MIN_COVERAGE of the brain.
    """
    placed, t1ce = dict(volumes), volumes["t1ce"]
    for name in off_grid(volumes):
        old = volumes[name]
        values = onto_grid(old.values, old.affine, *t1ce.grid, order=0 if name == "seg" else 1)
        if old.values.any() and not values.any():
            raise InputError(f"{old.path}: by the headers it does not overlap with {t1ce.path}; co-register them")
        placed[name] = old._replace(values=values, affine=t1ce.affine, header=t1ce.header)
    shares = coverage(volumes)
    partial_ones = [name for name, share in shares.items() if share < MIN_COVERAGE]
    shown = f"covers only part of the others ({', '.join(f'{name} {s:.1%}' for name, s in shares.items())})"
    if partial_ones and not unstripped(volumes):
        paths = ", ".join(volumes[name].path for name in partial_ones)
        raise InputError(
            f"{paths}: {shown}, expected {MIN_COVERAGE:.0%} of the brain in each; use scans of the whole brain, all "
            "skull-stripped in the same way"
        )
    return placed | {name: placed[name]._replace(remarks=(*placed[name].remarks, shown)) for name in partial_ones}


def header_remarks(volumes: Mapping[str, Volume]) -> list[str]:
    """Remarks on the volumes' headers, each with the volumes it applies to: 't1, t1ce: voxels of …'."""
    holders: dict[str, list[str]] = {}
    for name, volume in volumes.items():
        for remark in volume.remarks:
            holders.setdefault(remark, []).append(name)
    return [f"{', '.join(names)}: {remark}" for remark, names in holders.items()]


def unstripped(volumes: Mapping[str, Volume]) -> list[str]:
    """The modalities too full for a skull-stripped brain: skull, noise in the air, or nonzero background."""
    filled = {name: np.count_nonzero(volumes[name].values) / volumes[name].values.size for name in MODALITIES}
    return [name for name, share in filled.items() if share > BRAIN_SHARE]


def _volume(read: Callable[[str], Nifti], path: str) -> Volume:
    match = CHANNEL.fullmatch(path)
    nifti = read(match["file"] if match else path)
    count, number = nifti.values.shape[3], int(match["number"]) if match else 0
    if number >= count:
        raise InputError(f"{path}: no volume {number}; the file has {count}, counted from 0")
    if not match and count > 1:
        raise InputError(f"{path}: contains {count} volumes; name one of them, as in {path}#0")
    return Volume(path, nifti.values[..., number], *nifti[1:])


def _read_file(root: Path, orientation: str | None, path: str) -> Nifti:
    real = resolve_inside(root, path)
    if not is_nifti(path):
        raise InputError(f"{path}: not a NIfTI file ({' or '.join(SUFFIXES)})")
    return read_nifti(real, path, orientation)


def _check_values(volume: Volume) -> None:
    bad = volume.values.size - np.count_nonzero(np.isfinite(volume.values))
    if bad:
        raise InputError(f"{volume.path}: {bad} voxels are NaN or infinite; export the volume again")
    if volume.values.min() == volume.values.max():
        raise InputError(
            f"{volume.path}: blank, every voxel is {volume.values.flat[0]:g}; export it again or remove the case"
        )
