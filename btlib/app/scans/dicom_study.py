"""DICOM series to volumes, stacked by the positions of their slices."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from nibabel.affines import voxel_sizes

from btlib.app.scans.dicom_files import GEOMETRY, Slice
from btlib.app.scans.dicom_pixels import Pixels, read_pixels
from btlib.core.runtime.errors import InputError
from btlib.core.runtime.paths import resolve_inside
from btlib.volumes.data.grid import check_grid
from btlib.volumes.data.volume import Volume

MAX_OFFSET = 0.1  # of a slice from its place in an even stack, relative to the slice distance
ROUNDING = 1e-3  # of unit direction vectors, and of pixel spacing in mm
TO_RAS = np.diag([-1.0, -1, 1, 1])  # DICOM's axes point to the left and the back (LPS)


def stacked(root: Path, series: Sequence[Slice]) -> Volume:
    """The slices of one series as a volume, in the order of their positions along their common normal.

    Raises:
        InputError: no position; slices of several orientations or sizes; one missing, duplicate or out of line.
    """
    first = series[0].path
    if any(not one.tags[name] for one in series for name in GEOMETRY):
        raise InputError(f"{first} and others of its series: {', '.join(GEOMETRY)} are not in every slice")
    shapes = {(int(one.tags["Columns"]), int(one.tags["Rows"])) for one in series}
    planes = np.array([[*one.tags["ImageOrientationPatient"], *one.tags["PixelSpacing"]] for one in series])
    if len(shapes) > 1 or np.ptp(planes, axis=0).max() > ROUNDING:
        raise InputError(f"{first} and others of its series: slices of several orientations or sizes")
    along, down = planes[0, :3], planes[0, 3:6]
    if np.abs([along @ along - 1, down @ down - 1, along @ down]).max() > ROUNDING:
        raise InputError(
            f"{first} and others of its series: ImageOrientationPatient is not two directions at right angles"
        )
    places = np.array([one.tags["ImagePositionPatient"] for one in series])
    order = np.argsort(places @ np.cross(along, down))
    places = places[order]
    step = (places[-1] - places[0]) / (len(series) - 1)
    _check_even(places, step, first)
    row_spacing, column_spacing = planes[0, 6:]
    affine = np.eye(4)
    affine[:3] = np.column_stack([along * column_spacing, down * row_spacing, step, places[0]])
    (shape,) = shapes
    _check_grid((*shape, len(series)), affine, first)

    @lru_cache(maxsize=1)  # a file of many frames is read once
    def read(path: str) -> Pixels:
        return read_pixels(resolve_inside(root, path), path, "convert the study to NIfTI, for example with dcm2niix")

    pixels = [_slice(read(series[k].path), series[k], shape) for k in order]
    return Volume(first, np.stack(pixels, axis=-1), TO_RAS @ affine, positioned=True)


def _check_even(places: np.ndarray, step: np.ndarray, first: str) -> None:
    even = places[0] + np.arange(len(places))[:, None] * step
    size = np.linalg.norm(step)
    if not size or np.linalg.norm(places - even, axis=1).max() > MAX_OFFSET * size:
        gaps = np.linalg.norm(np.diff(places, axis=0), axis=1)
        raise InputError(
            f"{first} and others of its series: the slices lie {gaps.min():.2f} to {gaps.max():.2f} mm apart, expected "
            "even steps: one is missing, or several volumes are in one series"
        )


def _check_grid(shape: tuple[int, ...], affine: np.ndarray, first: str) -> None:
    """Checks the grid given by the tags before any pixels are read."""
    check_grid(f"{first} and others of its series", shape, affine)
    if abs(np.linalg.det(affine[:3, :3] / voxel_sizes(affine))) < 0.9:
        raise InputError(f"{first} and others of its series: the slices are not stacked at right angles")


def _slice(pixels: Pixels, place: Slice, shape: tuple[int, int]) -> np.ndarray:
    """float32 [columns, rows] in the scanner's units, 0 where it padded the field of view."""
    if pixels.tags["PhotometricInterpretation"] != "MONOCHROME2":
        raise InputError(f"{place.path}: not a grey image with black as 0 (MONOCHROME2)")
    if pixels.values.shape[:0:-1] != shape:
        raise InputError(f"{place.path}: not {shape[0]}×{shape[1]} pixels like the first slice of its series")
    return np.where(pixels.padding[place.frame], 0, pixels.values[place.frame]).T.astype(np.float32)
