"""The pixels of a DICOM file: which tags they need, and their values. No message quotes a tag's text."""

import warnings

import numpy as np
from pydicom import Dataset
from pydicom.pixels import apply_modality_lut
from pydicom.uid import AllTransferSyntaxes

from btlib.errors import InputError

PIXELS = (
    *("PixelData", "FloatPixelData", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored"),
    *("HighBit", "PixelRepresentation", "RescaleSlope", "RescaleIntercept", "ModalityLUTSequence"),
)


def decoded(tags: Dataset, name: str, remedy: str) -> np.ndarray:
    """Finite float64 [rows, columns] in the scanner's units.

    Raises:
        InputError: the pixels cannot be decoded, or are not what the tags say; names the file and the remedy.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # pydicom's warnings quote tags
            values = np.asarray(apply_modality_lut(tags.pixel_array, tags), np.float64)
    except Exception as error:  # damaged files make pydicom raise almost any kind; its words may quote tags
        raise InputError(
            f"{name}: the pixels cannot be decoded ({type(error).__name__}; {_encoding(tags)}); copy the file again, "
            f"or {remedy}"
        ) from None
    if values.shape != (tags.Rows, tags.Columns) or not np.isfinite(values).all():
        raise InputError(f"{name}: the pixels are not {tags.Rows}×{tags.Columns} finite numbers")
    return values


def _encoding(tags: Dataset) -> str:
    """What the standard calls it; a broken file may have any text there."""
    uid = tags.file_meta.get("TransferSyntaxUID")
    return uid.name if uid in AllTransferSyntaxes else "unknown encoding"
