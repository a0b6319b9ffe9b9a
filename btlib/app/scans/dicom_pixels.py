"""The pixels of a DICOM file in the scanner's units. Messages never quote the text of a tag."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydicom import Dataset
from pydicom.encaps import generate_frames
from pydicom.pixels import apply_modality_lut
from pydicom.uid import AllTransferSyntaxes, JPEG2000TransferSyntaxes

from btlib.app.scans.dicom_files import EACH, SHARED, Tags, opened, plain
from btlib.core.runtime.errors import InputError
from btlib.volumes.data.grid import MAX_VOXELS

SHAPE = ["NumberOfFrames", "Rows", "Columns"]
STORED = ["PixelData", "FloatPixelData", "DoubleFloatPixelData"]
MEANING = [
    *("SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
    *("RescaleSlope", "RescaleIntercept", "ModalityLUTSequence", "PixelPaddingValue", "PixelPaddingRangeLimit"),
]
DISPLAY = ["WindowCenter", "WindowWidth"]
SIGNATURE_BOX = b"\0\0\0\x0cjP  \r\n\x87\n"  # at the start of a JPEG 2000 file
SCALE = "PixelValueTransformationSequence"
GRAY = {"MONOCHROME1", "MONOCHROME2"}


class Pixels(NamedTuple):
    """values: float64 [frames, rows, columns], finite; padding: bool of that shape, True where the scanner padded the
    field of view; tags: those of SHAPE, MEANING and DISPLAY that are plain values."""

    values: np.ndarray
    padding: np.ndarray
    tags: Tags


def read_pixels(real: Path, name: str, remedy: str) -> Pixels:
    """Reads the grey pixels of all frames.

    Args:
        name: the file as the user knows it, for messages.
        remedy: advice if the pixels cannot be decoded: 'save the picture as PNG'.

    Raises:
        InputError: there are no grey pixels, too many, or they do not match the tags; names the file.
    """
    with opened(real, name, SHAPE) as data:
        shape = tuple(int(data.get(key) or one) for key, one in zip(SHAPE, (1, 0, 0), strict=True))
    if not all(shape):
        raise InputError(f"{name}: a DICOM file without an image: a report, or truncated")
    if np.prod(shape, dtype=float) > MAX_VOXELS:
        raise InputError(f"{name}: {'×'.join(map(str, shape))} pixels, more than the {MAX_VOXELS:,} allowed")
    with opened(real, name, [*SHAPE, *STORED, *MEANING, *DISPLAY, SHARED, EACH], pixels=True) as data:
        if not any(data.get(key) for key in STORED):
            raise InputError(f"{name}: a DICOM file without an image: a report, or truncated")
        tags = {key: plain(data.get(key)) for key in (*SHAPE, *DISPLAY, "PhotometricInterpretation")}
        if tags["PhotometricInterpretation"] not in GRAY or (data.get("SamplesPerPixel") or 1) != 1:
            raise InputError(f"{name}: a colour DICOM file; save it as PNG if it is the right image")
        try:
            _check_boxes(data)
            stored = np.asarray(data.pixel_array).reshape(shape)
            padding = _padding(stored, data)
            values = _in_units(stored, data)
        except Exception as error:  # the outer guard would not mention the encoding, which the remedy depends on
            raise InputError(
                f"{name}: the pixels cannot be decoded ({type(error).__name__}; {_encoding(data)}); copy the file "
                f"again, or {remedy}"
            ) from None
    if not np.isfinite(values).all():
        raise InputError(f"{name}: the pixels are not {'×'.join(map(str, shape))} finite numbers")
    return Pixels(values, padding, tags)


def _in_units(stored: np.ndarray, data: Dataset) -> np.ndarray:
    """Values scaled by the tags of the file, or of each frame."""
    values = np.asarray(apply_modality_lut(stored, data), np.float64)
    shared = next(iter(data.get(SHARED) or []), Dataset())
    for number, each in enumerate(data.get(EACH) or []):
        for group in (
            each.get("PixelValueTransformationSequence") or shared.get("PixelValueTransformationSequence") or []
        ):
            values[number] = stored[number] * float(group.RescaleSlope) + float(group.RescaleIntercept)
    return values


def _padding(stored: np.ndarray, data: Dataset) -> np.ndarray:
    """True where a stored value is PixelPaddingValue, or between it and PixelPaddingRangeLimit (PS3.3, C.7.5.1.1.2)."""
    value = data.get("PixelPaddingValue")
    if value is None or stored.dtype.kind not in "iu":
        return np.zeros(stored.shape, bool)
    limit = data.get("PixelPaddingRangeLimit")
    # writers disagree on whether the value is signed, so both are read with the pixels' type
    ends = np.array([int(value), int(value if limit is None else limit)]).astype(stored.dtype)
    return (stored >= ends.min()) & (stored <= ends.max())


def _check_boxes(data: Dataset) -> None:
    """Raises ValueError for JPEG 2000 that begins with boxes of zero length, on which pydicom 3.0 loops for ever."""
    if data.file_meta.TransferSyntaxUID not in JPEG2000TransferSyntaxes:
        return
    for frame in generate_frames(data.PixelData, number_of_frames=int(data.get("NumberOfFrames") or 1)):
        place = len(SIGNATURE_BOX) if frame.startswith(SIGNATURE_BOX) else None
        while place is not None and frame[place + 4 : place + 8] != b"jp2c":
            length = int.from_bytes(frame[place : place + 4], "big")
            if length < 8:
                raise ValueError("a box of zero length")
            place += length


def _encoding(data: Dataset) -> str:
    """Name of the encoding in the standard; a broken file may have any text there."""
    uid = data.file_meta.get("TransferSyntaxUID")
    return uid.name if uid in AllTransferSyntaxes else "unknown encoding"
