"""Finds the images in what a user names, and reads one: PNG, JPEG, TIFF, BMP, WebP or a single slice as DICOM.

Of a DICOM file only the tags below are read, so that no text about the patient can get into a result or a message.
"""

import re
import warnings
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.misc import is_dicom

from btlib.data.decoding import MAX_PIXELS, MIN_SIDE
from btlib.data.paths import resolve_inside
from btlib.data.reading import open_picture
from btlib.data.sources.files import walk
from btlib.data.sources.folder import SUFFIXES
from btlib.deploy.dicom_pixels import PIXELS, decoded
from btlib.errors import InputError

MAX_DICOM_BYTES = 256 * 2**20  # MAX_PIXELS of 32 bits fit
SKIPPED = {"DICOMDIR"}  # a table of contents
SHAPE = ["Modality", "NumberOfFrames", "Rows", "Columns"]
WINDOW = ["WindowCenter", "WindowWidth"]
GREY = {"MONOCHROME1", "MONOCHROME2"}
KINDS = "PNG, JPEG, TIFF, BMP, WebP and single-frame DICOM"


def find_slices(paths: Sequence[Path]) -> tuple[list[Path], dict[Path, str]]:
    """The images among files and below folders, each once, in the order named, folders sorted; and what is none.

    Returns:
        files, named as `paths` names them or their folder, and for every other file the reason why it cannot be read.
    """
    found: dict[Path, Path] = {}
    refused: dict[Path, str] = {}
    for path in paths:
        if not path.is_dir():
            found.setdefault(path.resolve(), path)
            continue
        faults: list[str] = []
        names = [place / name for place, files in walk(path, faults) for name in files if name not in SKIPPED]
        refused |= {path / fault.split(": ", 1)[0]: fault.split(": ", 1)[1] for fault in faults}
        for name in names:
            reason = _unfit(path, str(name))
            if reason:
                refused[path / name] = reason
            else:
                found.setdefault((path / name).resolve(), path / name)
    return list(found.values()), refused


def read_slice(path: Path) -> np.ndarray:
    """Reads one image by its content.

    A DICOM slice is scaled as its tags say, then its window, or where it has none all its values, spread over 0 … 255.

    Returns:
        uint8 [height, width, 3], RGB.

    Raises:
        InputError: the file cannot be read whole, or holds no single picture; the message begins with its name.
    """
    real = resolve_inside(path.parent, path.name)
    if not is_dicom(real):
        return open_picture(path.parent, path.name)
    grey = _grey(_values(real, path.name), path.name)
    return np.repeat(grey[:, :, None], 3, axis=2)


def not_mr(path: Path) -> str:
    """Why a file that `read_slice` reads cannot be MRI, or nothing: of DICOM the modality, of pictures nobody knows.

    Raises:
        InputError: as `read_slice`.
    """
    real = resolve_inside(path.parent, path.name)
    modality = str(_tags(real, path.name, ["Modality"]).get("Modality") or "") if is_dicom(real) else "MR"
    if modality == "MR":
        return ""
    # what the file gives instead of one of the standard's codes may be any text
    return f"DICOM modality {modality if re.fullmatch('[A-Z]{2,8}', modality) else 'unknown'}, not MR"


def _unfit(root: Path, name: str) -> str | None:
    """Why a file below `root` is no image, as far as can be told without decoding it."""
    try:
        real = resolve_inside(root, name)
        if PurePosixPath(name).suffix.lower() in SUFFIXES or is_dicom(real):
            return None
    except InputError as error:
        return str(error).removeprefix(f"{name}: ")
    except OSError as error:
        return str(error.strerror)
    return f"not a supported kind of file ({KINDS})"


def _values(real: Path, name: str) -> tuple[np.ndarray, Dataset]:
    """float64 [rows, columns] in the scanner's units, and the tags."""
    if real.stat().st_size > MAX_DICOM_BYTES:
        raise InputError(f"{name}: more than {MAX_DICOM_BYTES // 2**20} MiB")
    _check_shape(_tags(real, name, SHAPE), name)
    tags = _tags(real, name, [*SHAPE, *PIXELS, *WINDOW], pixels=True)
    if not {"PixelData", "FloatPixelData"} & set(tags.dir()):
        raise InputError(f"{name}: a DICOM file without a picture: a report, or cut short")
    if tags.get("PhotometricInterpretation") not in GREY or tags.get("SamplesPerPixel", 1) != 1:
        raise InputError(f"{name}: a DICOM file in colour; save the picture as PNG if it is the one you mean")
    return decoded(tags, name, "save the picture as PNG"), tags


def _check_shape(tags: Dataset, name: str) -> None:
    """Before the pixels are read for what the tags promise."""
    try:
        frames, rows, columns = (int(tags.get(key) or 0) for key in ("NumberOfFrames", "Rows", "Columns"))
    except (TypeError, ValueError):  # the value may be any text
        raise InputError(f"{name}: NumberOfFrames, Rows or Columns is no number; copy the file again") from None
    if frames > 1:
        raise InputError(f"{name}: holds {frames} frames; save each slice as its own file, or convert it to NIfTI")
    if not rows or not columns:
        raise InputError(f"{name}: a DICOM file without a picture: a report, or cut short")
    if min(rows, columns) < MIN_SIDE or rows * columns > MAX_PIXELS:
        raise InputError(
            f"{name}: {columns}×{rows} pixels, allowed are {MIN_SIDE} or more on a side and {MAX_PIXELS:,} in all"
        )


def _grey(values: tuple[np.ndarray, Dataset], name: str) -> np.ndarray:
    """uint8 [rows, columns]: the window of the tags, or the smallest and the largest value, as 0 and 255."""
    numbers, tags = values
    low, high = _window(tags) or (numbers.min(), numbers.max())
    shown = np.clip((numbers - low) / max(high - low, np.finfo(float).tiny), 0, 1)
    grey = np.rint(255 * shown).astype(np.uint8)
    if grey.min() == grey.max():
        raise InputError(f"{name}: blank, every pixel has the same value")
    return 255 - grey if tags.PhotometricInterpretation == "MONOCHROME1" else grey


def _window(tags: Dataset) -> tuple[float, float] | None:
    """The limits of the first window, where there is a usable one."""
    try:
        centre, width = (float(np.atleast_1d(tags.get(key))[0]) for key in ("WindowCenter", "WindowWidth"))
    except (TypeError, ValueError, IndexError):
        return None
    return (centre - width / 2, centre + width / 2) if np.isfinite(centre) and 0 < width < np.inf else None


def _tags(real: Path, name: str, wanted: list[str], pixels: bool = False) -> Dataset:
    try:
        with warnings.catch_warnings(action="ignore"):
            tags = dcmread(real, stop_before_pixels=not pixels, specific_tags=wanted)
            for tag in wanted:
                tags.get(tag)  # decoded here and now, where faults are caught
        return tags
    except Exception as error:  # as above
        raise InputError(f"{name}: not a whole DICOM file ({type(error).__name__}); copy it again") from None
