"""Candidate volumes by file name and header, before any voxels are read."""

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np

from btlib.app.scans.modality import NAMES, Candidate
from btlib.app.scans.modality_words import OTHER, Words, spoken

# Unsupported volume formats
FOREIGN = (".mha", ".mhd", ".nrrd", ".nhdr", ".hdr", ".img", ".img.gz", ".mgz", ".mgh", ".mnc")
HEADER_BYTES = 540  # of NIfTI-2; NIfTI-1 has fewer
MAX_VOLUMES = 16  # of a 4D file that may contain the four modalities


def is_foreign(name: str) -> bool:
    """Whether a file name has the extension of another volume format than NIfTI."""
    return name.lower().endswith(FOREIGN)


def conversion_of(name: str) -> str:
    """Advice on converting such a file to NIfTI."""
    return (
        "convert it to NIfTI, for example with SimpleITK: "
        f"sitk.WriteImage(sitk.ReadImage({name!r}), {name.split('.')[0] + '.nii.gz'!r})"
    )


def volumes_in(path: Path) -> int:
    """Number of volumes by a NIfTI file's header; 1 if it cannot be read, which is reported when the file is read."""
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        with (gzip.open if packed else open)(path, "rb") as file:
            block = file.read(HEADER_BYTES)
        kind = next(one for one in (nib.Nifti1Header, nib.Nifti2Header) if one.may_contain_header(block))
        shape = kind(block[: kind.template_dtype.itemsize], check=False).get_data_shape()
    except Exception:  # damaged files make nibabel and gzip raise almost any kind
        return 1
    return int(np.prod(shape[3:], dtype=float).clip(1, MAX_VOLUMES + 1))


def nifti_candidate(root: Path, file: str) -> Candidate:
    """Candidate by the words of the file name; that of a 4D file says nothing about its volumes."""
    volumes = volumes_in(root / file)
    if volumes > 1:
        return Candidate((file,), Words(None, None), f"contains {volumes} volumes", volumes=volumes)
    words = spoken(Path(file).name[: -len(".nii")].removesuffix(".nii"))
    return Candidate((file,), words, f"its name says {described(words)}")


def described(words: Words) -> str:
    """'T1 without contrast'."""
    if words.weighting in (None, OTHER):
        return "another kind of image" if words.weighting else "no modality"
    contrast = {True: " with contrast", False: " without contrast", None: ""}[words.contrast]
    return NAMES[words.weighting] + (contrast if words.weighting == "t1" else "")
