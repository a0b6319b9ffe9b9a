"""Decodes NIfTI files by their content, packed or not, whatever their names say. Headers are not trusted."""

import gzip
import io
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

import nibabel as nib
import numpy as np
from nibabel.affines import voxel_sizes
from nibabel.arrayproxy import ArrayProxy
from nibabel.orientations import axcodes2ornt

from btlib.core.runtime.errors import InputError, brief, guarded
from btlib.volumes.data.grid import SAME_WITHIN, by, check_grid, corners_apart
from btlib.volumes.data.volume import Header

GZIP = b"\x1f\x8b"  # how a packed file begins
MAX_BYTES = 2**30  # of voxels in one file: four volumes of 400 × 400 × 400 as floats
MAX_EXTENSIONS = 2**24  # bytes before the voxels, such as a copy of the scanner's tags
MAX_SPARE = 2**20  # bytes after the voxels: some programs fill up to whole blocks
UNITS = {1: "metres", 3: "micrometres"}  # of lengths, other than millimetres


class Nifti(NamedTuple):
    """What a file holds: fields as in `Volume`, but values float32 [X, Y, Z, volumes]."""

    values: np.ndarray
    affine: np.ndarray
    positioned: bool
    header: Header
    remarks: tuple[str, ...]


def read_nifti(real: Path, path: str, orientation: str | None = None) -> Nifti:
    """Reads one file.

    Args:
        real: where it lies.
        path: its name in messages.
        orientation: where the axes of a file point whose header does not say it, such as 'RAS'.

    Raises:
        InputError: it is not whole, no volume of a head by its header, or does not say where its axes point.
    """
    with guarded(path, "NIfTI file"), _unpacked(real) as handle:
        raw = _raw_header(handle, path)
        header = _forms(raw)
        positioned = bool(header.sform_code or header.qform_code)
        affine = raw.get_best_affine() if positioned else _stated(orientation, header, path)
        _check(raw, header, affine, path)
        values = _values(handle, raw, path)
    remark = _remark(header, values.shape[:3]) if positioned else f"axes taken to point to {orientation}, as stated"
    return Nifti(values, affine, positioned, header, (remark,) if remark else ())


@contextmanager
def _unpacked(real: Path) -> Iterator[BinaryIO]:
    with real.open("rb") as file:
        packed = file.read(len(GZIP)) == GZIP
        file.seek(0)
        if packed:
            with gzip.open(file) as unpacked:
                yield unpacked
        else:
            yield file


def _raw_header(handle: BinaryIO, path: str) -> nib.Nifti1Header:
    """Of NIfTI-1 or 2, without its extensions."""
    start = handle.read(nib.Nifti2Header.sizeof_hdr)
    kind = nib.Nifti2Header if nib.Nifti2Header.may_contain_header(start) else nib.Nifti1Header
    raw = kind(start[: kind.sizeof_hdr])
    if raw["magic"].item() != kind.single_magic:
        raise InputError(f"{path}: the header of a pair of files (.hdr and .img); convert the pair to one file")
    return raw


def _forms(raw: nib.Nifti1Header) -> Header:
    code = int(raw["qform_code"])
    qform = raw.get_qform() if code else np.diag([*raw["pixdim"][1:4], 1.0])
    return Header(raw.get_sform(), int(raw["sform_code"]), qform, code)


def _stated(orientation: str | None, header: Header, path: str) -> np.ndarray:
    """The affine of axes that point to `orientation`; the first voxel lies at 0."""
    if orientation is None:
        raise InputError(
            f"{path}: the header does not say where the axes point (sform and qform have code 0), so that left and "
            "right are unknown; write one of them, or predict with --assume-orientation RAS, or where else they point"
        )
    if len(orientation) != 3 or any(len({*orientation} & {*pair}) != 1 for pair in ("LR", "AP", "IS")):
        raise InputError(f"orientation {brief(orientation)}: expected L or R, A or P, and I or S, each once, as in RAS")
    axes, signs = axcodes2ornt(orientation).astype(int).T
    affine = np.diag([0.0, 0, 0, 1])
    affine[axes, range(3)] = signs * voxel_sizes(header.qform)
    return affine


def _check(raw: nib.Nifti1Header, header: Header, affine: np.ndarray, path: str) -> None:
    """Before anything is allocated for what the header promises."""
    shape, kind, unit = raw.get_data_shape(), raw.get_data_dtype(), int(raw["xyzt_units"]) % 8
    if unit in UNITS:
        raise InputError(f"{path}: lengths in {UNITS[unit]} by its header, expected millimetres; mend xyzt_units")
    check_grid(path, shape[:3], affine)
    if not all(np.isfinite(form).all() for form in (header.sform, header.qform)):
        raise InputError(f"{path}: sform or qform in its header is NaN or infinite; mend it")
    if min(shape) < 1 or sum(count > 1 for count in shape[3:]) > 1:
        raise InputError(f"{path}: {by(shape)} voxels, expected one volume or a row of them")
    if kind.kind not in "iuf":
        raise InputError(f"{path}: voxels of type {kind}, expected whole or real numbers")


def _values(handle: BinaryIO, raw: nib.Nifti1Header, path: str) -> np.ndarray:
    """float32 [X, Y, Z, volumes], scaled as the header says."""
    shape, start = raw.get_data_shape(), raw.get_data_offset()
    size = math.prod(shape) * raw.get_data_dtype().itemsize
    if size > MAX_BYTES or not raw.sizeof_hdr <= start <= MAX_EXTENSIONS:
        raise InputError(
            f"{path}: {size:,} bytes of voxels from byte {start:,} on by its header, expected at most {MAX_BYTES:,} "
            f"from a byte between {raw.sizeof_hdr} and {MAX_EXTENSIONS:,} on"
        )
    handle.seek(0)
    content = handle.read(start + size + MAX_SPARE + 1)  # up to the file's end, where gzip compares its checksum
    if len(content) < start + size:
        raise ValueError(f"{len(content):,} bytes, but its header promises {start + size:,}")
    if len(content) > start + size + MAX_SPARE:
        raise ValueError(f"it goes on after the {start + size:,} bytes that its header promises")
    with np.errstate(all="ignore"):  # what overflows becomes infinite, and is refused as such
        values = np.asanyarray(ArrayProxy(io.BytesIO(content), raw), np.float32)
    return values.reshape(*shape[:3], -1)


def _remark(header: Header, shape: Sequence[int]) -> str:
    """How sform and qform (or what there is of it, the voxel sizes) contradict each other; '' where they do not."""
    sform, qform = header.sform, header.qform
    if not header.sform_code:
        return ""
    if header.qform_code:
        apart = corners_apart(shape, sform, qform)
        return f"sform and qform put a corner {apart:.1f} mm apart; sform is used" if apart > SAME_WITHIN else ""
    sizes, others = voxel_sizes(sform), voxel_sizes(qform)
    if (np.abs(sizes - others) * shape).max() <= SAME_WITHIN:
        return ""
    return f"voxels of {by(sizes)} mm by sform, of {by(others)} mm by pixdim; sform is used"
