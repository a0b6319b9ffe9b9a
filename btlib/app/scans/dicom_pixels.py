"""The pixels of a DICOM file in the scanner's units. No message quotes a tag's text."""

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
SIGNATURE_BOX = b"\0\0\0\x0cjP  \r\n\x87\n"  # of a JPEG 2000 file
SCALE = "PixelValueTransformationSequence"
GRAY = {"MONOCHROME1", "MONOCHROME2"}


class Pixels(NamedTuple):
    """values: float64 [frames, rows, columns], finite; padding: bool of that shape, True where there is no image but
    what the scanner fills its field of view with; tags: of SHAPE, MEANING and DISPLAY that are plain values."""

    values: np.ndarray
    padding: np.ndarray
    tags: Tags


def read_pixels(real: Path, name: str, remedy: str) -> Pixels:
    """Reads the grey pixels of all frames.

    Args:
        name: the file, as the user knows it, for messages.
        remedy: what to do where the pixels cannot be decoded: 'save the picture as PNG'.

    Raises:
        InputError: there are no grey pixels, too many for one file, or not those that the tags promise; names the file.
    """
    with opened(real, name, SHAPE) as data:
        shape = tuple(int(data.get(key) or one) for key, one in zip(SHAPE, (1, 0, 0), strict=True))
    if not all(shape):
        raise InputError(f"{name}: a DICOM file without a picture: a report, or cut short")
    if np.prod(shape, dtype=float) > MAX_VOXELS:
        raise InputError(f"{name}: {'×'.join(map(str, shape))} pixels, more than the {MAX_VOXELS:,} allowed")
    with opened(real, name, [*SHAPE, *STORED, *MEANING, *DISPLAY, SHARED, EACH], pixels=True) as data:
        if not any(data.get(key) for key in STORED):
            raise InputError(f"{name}: a DICOM file without a picture: a report, or cut short")
        tags = {key: plain(data.get(key)) for key in (*SHAPE, *DISPLAY, "PhotometricInterpretation")}
        if tags["PhotometricInterpretation"] not in GRAY or (data.get("SamplesPerPixel") or 1) != 1:
            raise InputError(f"{name}: a DICOM file in colour; save the picture as PNG if it is the one you mean")
        try:
            _check_boxes(data)
            stored = np.asarray(data.pixel_array).reshape(shape)
            padding = _padding(stored, data)
            values = _in_units(stored, data)
        except Exception as error:  # the guard around would not say the encoding, which tells what to do
            raise InputError(
                f"{name}: the pixels cannot be decoded ({type(error).__name__}; {_encoding(data)}); copy the file "
                f"again, or {remedy}"
            ) from None
    if not np.isfinite(values).all():
        raise InputError(f"{name}: the pixels are not {'×'.join(map(str, shape))} finite numbers")
    return Pixels(values, padding, tags)


def _in_units(stored: np.ndarray, data: Dataset) -> np.ndarray:
    """As the tags of the file say, or those of each frame."""
    values = np.asarray(apply_modality_lut(stored, data), np.float64)
    shared = next(iter(data.get(SHARED) or []), Dataset())
    for number, each in enumerate(data.get(EACH) or []):
        for group in (
            each.get("PixelValueTransformationSequence") or shared.get("PixelValueTransformationSequence") or []
        ):
            values[number] = stored[number] * float(group.RescaleSlope) + float(group.RescaleIntercept)
    return values


def _padding(stored: np.ndarray, data: Dataset) -> np.ndarray:
    """Where the stored number is PixelPaddingValue, or between it and PixelPaddingRangeLimit (PS3.3, C.7.5.1.1.2)."""
    value = data.get("PixelPaddingValue")
    if value is None or stored.dtype.kind not in "iu":
        return np.zeros(stored.shape, bool)
    limit = data.get("PixelPaddingRangeLimit")
    # writers disagree on whether the number is signed, so that both are read as the pixels are
    ends = np.array([int(value), int(value if limit is None else limit)]).astype(stored.dtype)
    return (stored >= ends.min()) & (stored <= ends.max())


def _check_boxes(data: Dataset) -> None:
    """Raises ValueError for JPEG 2000 that begins with boxes of no length, which pydicom 3.0 follows for ever."""
    if data.file_meta.TransferSyntaxUID not in JPEG2000TransferSyntaxes:
        return
    for frame in generate_frames(data.PixelData, number_of_frames=int(data.get("NumberOfFrames") or 1)):
        place = len(SIGNATURE_BOX) if frame.startswith(SIGNATURE_BOX) else None
        while place is not None and frame[place + 4 : place + 8] != b"jp2c":
            length = int.from_bytes(frame[place : place + 4], "big")
            if length < 8:
                raise ValueError("a box of no length")
            place += length


def _encoding(data: Dataset) -> str:
    """What the standard calls it; a broken file may have any text there."""
    uid = data.file_meta.get("TransferSyntaxUID")
    return uid.name if uid in AllTransferSyntaxes else "unknown encoding"
