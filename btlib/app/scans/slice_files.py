"""Finds the images in the user's paths, and reads one: PNG, JPEG, TIFF, BMP, WebP or a single DICOM slice.

Only the DICOM tags below are read, so that no text about the patient can get into a result or a message.
"""

import math
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from btlib.app.scans.dicom_files import Tags, is_dicom, opened, plain
from btlib.app.scans.dicom_pixels import Pixels, read_pixels
from btlib.app.scans.results import files_below
from btlib.core.runtime.errors import InputError, guarded
from btlib.core.runtime.paths import resolve_inside
from btlib.images.data.decoding import check_size
from btlib.images.data.reading import open_picture
from btlib.images.data.sources.folder import SUFFIXES

SKIPPED = {"DICOMDIR"}  # a table of contents
WINDOW = ["WindowCenter", "WindowWidth"]
KINDS = "PNG, JPEG, TIFF, BMP, WebP and single-frame DICOM"


def find_slices(paths: Sequence[Path]) -> tuple[list[Path], dict[Path, str]]:
    """Finds the images among files and below folders, each once, in the given order, folders sorted.

    Returns:
        Files, with paths as in `paths` or below its folders; every other file with the reason why it cannot be read.
    """
    found: dict[Path, Path] = {}
    refused: dict[Path, str] = {}
    for path in paths:
        if not path.is_dir():
            found.setdefault(path.absolute(), path)
            continue
        names, skipped = files_below(path)
        refused |= skipped
        for name in names:
            if PurePosixPath(name).name in SKIPPED:
                continue
            reason = _why_not_image(path, name)
            if reason:
                refused[path / name] = reason
            else:
                found.setdefault((path / name).absolute(), path / name)  # not resolved: DVC links copies to one file
    return list(found.values()), refused


def read_slice(path: Path) -> np.ndarray:
    """Reads one image, whatever its file extension.

    A DICOM slice is scaled by its tags, then its window, or without one the range of its values excluding padding, is
    mapped to 0 … 255; padding is black.

    Returns:
        uint8 [height, width, 3], RGB.

    Raises:
        InputError: the file cannot be read completely, or is not a single image; the message begins with its name.
    """
    real = resolve_inside(path.parent, path.name)
    if not _holds_dicom(real, path.name):
        return open_picture(path.parent, path.name)
    _check_shape(real, path.name)
    gray = _gray(read_pixels(real, path.name, "save the picture as PNG"), path.name)
    return np.repeat(gray[:, :, None], 3, axis=2)


def not_mr(path: Path) -> str:
    """Why a file that `read_slice` reads cannot be MRI, by its DICOM modality; '' for MR and for other formats.

    Raises:
        InputError: as `read_slice`.
    """
    real = resolve_inside(path.parent, path.name)
    modality = _tags(real, path.name, ["Modality"])[0] if _holds_dicom(real, path.name) else "MR"
    if modality == "MR":
        return ""
    # instead of one of the standard's codes, the tag may contain any text
    return f"DICOM modality {modality if re.fullmatch('[A-Z]{2,8}', str(modality)) else 'unknown'}, not MR"


def _why_not_image(root: Path, name: str) -> str:
    """Why a file below `root` is not an image, without decoding it; '' if it may be one."""
    try:
        real = resolve_inside(root, name)
        if PurePosixPath(name).suffix.lower() in SUFFIXES or _holds_dicom(real, name):
            return ""
    except InputError as error:
        return str(error).removeprefix(f"{name}: ")
    return f"not a supported kind of file ({KINDS})"


def _holds_dicom(real: Path, name: str) -> bool:
    with guarded(name, "file", quote=False):
        return is_dicom(real)


def _check_shape(real: Path, name: str) -> None:
    """Checks the shape given by the tags before any pixels are read."""
    shape = _tags(real, name, ["NumberOfFrames", "Rows", "Columns"])
    try:
        frames, rows, columns = (int(value or 0) for value in shape)
    except (TypeError, ValueError, OverflowError):  # the tag may contain any text
        raise InputError(f"{name}: NumberOfFrames, Rows or Columns is not a number; copy the file again") from None
    if frames > 1:
        raise InputError(f"{name}: has {frames} frames; save each slice as its own file, or convert it to NIfTI")
    if not rows or not columns:
        raise InputError(f"{name}: a DICOM file without an image: a report, or truncated")
    check_size(columns, rows, name)


def _gray(pixels: Pixels, name: str) -> np.ndarray:
    """uint8 [rows, columns]: the tags' window, or else the range of values, mapped to 0 … 255."""
    values, padding = pixels.values[0], pixels.padding[0]
    inside = values[~padding]
    low, high = _window(pixels.tags) or (inside.min(initial=np.inf), inside.max(initial=-np.inf))
    shown = np.clip((values - low) / max(high - low, np.finfo(float).tiny), 0, 1)
    inverted = pixels.tags["PhotometricInterpretation"] == "MONOCHROME1"
    gray = np.rint(255 * (1 - shown if inverted else shown)).astype(np.uint8)
    if not inside.size or np.ptp(gray[~padding]) == 0:
        raise InputError(f"{name}: blank, every pixel has the same value")
    return np.where(padding, 0, gray).astype(np.uint8)


def _window(tags: Tags) -> tuple[float, float] | None:
    """The limits of the first window, or None if it is unusable."""
    first = [values[0] if isinstance(values, tuple) and values else values for values in map(tags.get, WINDOW)]
    center, width = (value if isinstance(value, float) else math.nan for value in first)
    return (center - width / 2, center + width / 2) if math.isfinite(center) and 0 < width < math.inf else None


def _tags(real: Path, name: str, wanted: Sequence[str]) -> list[Any]:
    with opened(real, name, wanted) as tags:
        return [plain(tags.get(key)) for key in wanted]
