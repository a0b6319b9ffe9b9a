"""Decodes NIfTI files by content, compressed or not, regardless of their names. Headers are not trusted."""

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

GZIP = b"\x1f\x8b"  # first bytes of a compressed file
MAX_BYTES = 2**30  # of voxels in one file: four volumes of 400 × 400 × 400 floats
MAX_EXTENSIONS = 2**24  # bytes before the voxels, such as a copy of the scanner's tags
MAX_SPARE = 2**20  # bytes after the voxels: some programs pad to whole blocks
UNITS = {1: "metres", 3: "micrometres"}  # of length, other than millimetres


class Nifti(NamedTuple):
    """Content of a file: fields as in `Volume`, but values float32 [X, Y, Z, volumes]."""

    values: np.ndarray
    affine: np.ndarray
    positioned: bool
    header: Header
    remarks: tuple[str, ...]


def read_nifti(real: Path, path: str, orientation: str | None = None) -> Nifti:
    """Reads one file.

    Args:
        real: its location.
        path: its name in messages.
        orientation: of the axes if the header lacks it, such as 'RAS'.

    Raises:
        InputError: the file is incomplete, not a volume of a head by its header, or lacks an orientation.
    """
    with guarded(path, "NIfTI file"), _open_decompressed(real) as handle:
        raw = _raw_header(handle, path)
        header = _forms(raw)
        positioned = bool(header.sform_code or header.qform_code)
        affine = raw.get_best_affine() if positioned else _assumed_affine(orientation, header, path)
        _check(raw, header, affine, path)
        values = _values(handle, raw, path)
    remark = _remark(header, values.shape[:3]) if positioned else f"axes assumed to be {orientation}, as stated"
    return Nifti(values, affine, positioned, header, (remark,) if remark else ())


@contextmanager
def _open_decompressed(real: Path) -> Iterator[BinaryIO]:
    with real.open("rb") as file:
        packed = file.read(len(GZIP)) == GZIP
        file.seek(0)
        if packed:
            with gzip.open(file) as unpacked:
                yield unpacked
        else:
            yield file


def _raw_header(handle: BinaryIO, path: str) -> nib.Nifti1Header:
    """The header of NIfTI-1 or 2, without extensions."""
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


def _assumed_affine(orientation: str | None, header: Header, path: str) -> np.ndarray:
    """The affine for axes in `orientation`, with the first voxel at 0."""
    if orientation is None:
        raise InputError(
            f"{path}: the header has no orientation (sform and qform have code 0), so left and right are unknown; "
            "write one of them, or predict with --assume-orientation RAS or the actual orientation"
        )
    if len(orientation) != 3 or any(len({*orientation} & {*pair}) != 1 for pair in ("LR", "AP", "IS")):
        raise InputError(f"orientation {brief(orientation)}: expected L or R, A or P, and I or S, each once, as in RAS")
    axes, signs = axcodes2ornt(orientation).astype(int).T
    affine = np.diag([0.0, 0, 0, 1])
    affine[axes, range(3)] = signs * voxel_sizes(header.qform)
    return affine


def _check(raw: nib.Nifti1Header, header: Header, affine: np.ndarray, path: str) -> None:
    """Checks the header before memory is allocated for its voxels."""
    shape, kind, unit = raw.get_data_shape(), raw.get_data_dtype(), int(raw["xyzt_units"]) % 8
    if unit in UNITS:
        raise InputError(f"{path}: lengths in {UNITS[unit]} by its header, expected millimetres; repair xyzt_units")
    check_grid(path, shape[:3], affine)
    if not all(np.isfinite(form).all() for form in (header.sform, header.qform)):
        raise InputError(f"{path}: sform or qform in its header is NaN or infinite; repair it")
    if min(shape) < 1 or sum(count > 1 for count in shape[3:]) > 1:
        raise InputError(f"{path}: {by(shape)} voxels, expected one volume or a series of them")
    if kind.kind not in "iuf":
        raise InputError(f"{path}: voxels of type {kind}, expected integers or real numbers")


def _values(handle: BinaryIO, raw: nib.Nifti1Header, path: str) -> np.ndarray:
    """float32 [X, Y, Z, volumes], scaled by the header."""
    shape, start = raw.get_data_shape(), raw.get_data_offset()
    size = math.prod(shape) * raw.get_data_dtype().itemsize
    if size > MAX_BYTES or not raw.sizeof_hdr <= start <= MAX_EXTENSIONS:
        raise InputError(
            f"{path}: {size:,} bytes of voxels from byte {start:,} by its header, expected at most {MAX_BYTES:,} from "
            f"a byte between {raw.sizeof_hdr} and {MAX_EXTENSIONS:,}"
        )
    handle.seek(0)
    content = handle.read(start + size + MAX_SPARE + 1)  # up to the file's end, where gzip checks its checksum
    if len(content) < start + size:
        raise ValueError(f"{len(content):,} bytes, but {start + size:,} by its header")
    if len(content) > start + size + MAX_SPARE:
        raise ValueError(f"longer than the {start + size:,} bytes of its header")
    with np.errstate(all="ignore"):  # overflow becomes infinite and is refused as such
        values = np.asanyarray(ArrayProxy(io.BytesIO(content), raw), np.float32)
    return values.reshape(*shape[:3], -1)


def _remark(header: Header, shape: Sequence[int]) -> str:
    """Contradiction between sform and qform (or just its voxel sizes); '' if there is none."""
    sform, qform = header.sform, header.qform
    if not header.sform_code:
        return ""
    if header.qform_code:
        apart = corners_apart(shape, sform, qform)
        return f"corners by sform and qform are {apart:.1f} mm apart; sform is used" if apart > SAME_WITHIN else ""
    sizes, others = voxel_sizes(sform), voxel_sizes(qform)
    if (np.abs(sizes - others) * shape).max() <= SAME_WITHIN:
        return ""
    return f"voxels of {by(sizes)} mm by sform, of {by(others)} mm by pixdim; sform is used"
