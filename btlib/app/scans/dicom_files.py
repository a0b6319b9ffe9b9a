"""DICOM files as plain values. Tags are decoded here, behind one guard, and never quoted in messages.

Only the tags listed here are read, never names, birth dates or other text about the patient.
"""

import logging
import warnings
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.filereader import read_dataset
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
)

from btlib.app.scans.modality_tags import EVIDENCE, TIMES
from btlib.core.runtime.errors import InputError, guarded, listed
from btlib.core.runtime.paths import resolve_inside
from btlib.volumes.data.grid import MIN_SIDE

logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)  # its messages quote tags

MAX_GAPS = 1.5  # missing slices per slice present; with more, the slices are numbered differently
MAX_VALUES = 16  # of one tag; those that are read have up to six
MAX_TEXT = 1024  # characters of one value
MAX_BYTES = 256 * 2**20  # of a file: enough for 50,000,000 pixels of 32 bits
MAX_INFLATED = 64 * 2**20  # of a deflated file, of which pydicom holds several copies; a typical slice has 0.5
PREAMBLE, MAGIC = 128, b"DICM"
FIRST_GROUPS = (b"\x02\x00", b"\x08\x00")  # first bytes of a file without preamble, little endian
ENCODINGS = {  # (implicit, little endian) -> syntax of a file without group 2, which would name it
    (True, True): ImplicitVRLittleEndian,
    (False, True): ExplicitVRLittleEndian,
    (False, False): ExplicitVRBigEndian,
}
IDENTITY = ["Modality", "StudyInstanceUID", "SeriesInstanceUID", "NumberOfFrames"]
COUNTS = ["InstanceNumber", "ImagesInAcquisition"]  # reveal missing files of a series
VECTORS = {"ImagePositionPatient": 3, "ImageOrientationPatient": 6, "PixelSpacing": 2}  # tag -> length
GEOMETRY = [*VECTORS, "Rows", "Columns"]
SINGLE = [*TIMES, *COUNTS, "Rows", "Columns", "NumberOfFrames"]  # one number each
WANTED = [*IDENTITY, *COUNTS, *EVIDENCE, *GEOMETRY]
# Enhanced MR (many frames per file) has these tags per frame: tag -> its sequence and name there
SHARED, EACH = "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"
OF_FRAMES = {
    "ImagePositionPatient": ("PlanePositionSequence", "ImagePositionPatient"),
    "ImageOrientationPatient": ("PlaneOrientationSequence", "ImageOrientationPatient"),
    "PixelSpacing": ("PixelMeasuresSequence", "PixelSpacing"),
    "EchoTime": ("MREchoSequence", "EffectiveEchoTime"),
    "RepetitionTime": ("MRTimingAndRelatedParametersSequence", "RepetitionTime"),
    "InversionTime": ("MRModifierSequence", "InversionTimes"),
    "ContrastBolusAgent": ("ContrastBolusUsageSequence", "ContrastBolusAgentAdministered"),
}

Tags = Mapping[str, Any]


class Slice(NamedTuple):
    """One slice of a study: its file relative to the root, its tags as text, numbers and tuples (None: empty or
    missing), and the index of its frame in the file."""

    path: str
    tags: Tags
    frame: int = 0


def is_dicom(real: Path) -> bool:
    """Whether a regular file is DICOM: by its magic bytes or, in old exports without them, by its first element."""
    with real.open("rb") as file:
        start = file.read(PREAMBLE + len(MAGIC))
    return start[PREAMBLE:] == MAGIC or _begins_with_element(start)


@contextmanager
def opened(real: Path, name: str, wanted: Sequence[str], pixels: bool = False) -> Iterator[Dataset]:
    """The wanted tags of a DICOM file. pydicom decodes them on access, so access them within the block.

    Args:
        name: the file as the user knows it, for messages.

    Raises:
        InputError: the file is damaged, or larger than MAX_BYTES.
    """
    if real.stat().st_size > MAX_BYTES:
        raise InputError(f"{name}: larger than {MAX_BYTES // 2**20} MiB")
    with guarded(name, "DICOM file", quote=False), warnings.catch_warnings(action="ignore"):
        _check_inflated(real, name)
        data = dcmread(real, stop_before_pixels=not pixels, specific_tags=[*wanted], force=True)
        if "TransferSyntaxUID" not in data.file_meta:
            data.file_meta.TransferSyntaxUID = ENCODINGS[data.original_encoding]
        yield data


def headers(root: Path, paths: Iterable[str]) -> list[Slice]:
    """The MR slices among the files of a study, as in `readable_headers`.

    Raises:
        InputError: files of a study cannot be read; lists them.
    """
    found, unreadable = readable_headers(root, paths)
    if unreadable:
        raise InputError(incomplete(unreadable))
    return found


def incomplete(unreadable: Mapping[str, str]) -> str:
    """What to say about a study with these files, and the reasons why they cannot be read."""
    faults = [f"{path}: {reason}" for path, reason in unreadable.items()]
    return (
        f"{len(faults)} file(s) cannot be read, so the study is incomplete; copy them again, or remove them if they do "
        f"not belong to it:\n{listed(faults, 5)}"
    )


def readable_headers(root: Path, paths: Iterable[str]) -> tuple[list[Slice], dict[str, str]]:
    """The MR slices among files, and for each truncated file the reason why it cannot be read.

    Skips files other than DICOM, tables of contents, reports, masks and other modalities.
    """
    unreadable: dict[str, str] = {}
    return list(readable(root, paths, unreadable)), unreadable


def readable(root: Path, paths: Iterable[str], unreadable: dict[str, str] | None = None) -> Iterator[Slice]:
    """As `readable_headers`, one after the other; adds the truncated files to `unreadable`."""
    for path in paths:
        try:
            yield from _slices(root, path)
        except InputError as error:
            if unreadable is not None:
                unreadable[path] = str(error).removeprefix(f"{path}: ")


def shortfall(slices: Sequence[Slice]) -> str:
    """Evidence that files of a series are missing, given all of its slices; '' if there is none.

    Positions alone do not reveal a series that ends early or lacks every second slice.
    """
    numbers = {one.tags["InstanceNumber"] for one in slices} - {None}
    noted = {one.tags["ImagesInAcquisition"] for one in slices}
    files = len({one.path for one in slices})
    if len(numbers) == files == len(slices):
        missing = int(max(numbers) - min(numbers)) + 1 - files
        if 0 < missing < files * MAX_GAPS:  # numbers of interleaved series have larger gaps
            return f"{files} slices numbered {min(numbers):.0f} to {max(numbers):.0f}, so {missing} are missing"
    expected = noted.pop() if len(noted) == 1 else None
    if expected and len(slices) < expected and expected % len(slices):  # an acquisition may comprise several series
        return f"{len(slices)} slices, but the scanner recorded {expected:.0f}"
    return ""


def is_volume(slices: Iterable[Slice]) -> bool:
    """Whether these are slices of volumes rather than single images: at least MIN_SIDE in one series."""
    counts: Counter[Any] = Counter()
    for one in slices:
        counts[one.tags["SeriesInstanceUID"]] += 1
        if counts[one.tags["SeriesInstanceUID"]] >= MIN_SIDE:
            return True
    return False


def plain(value: Any) -> Any:
    """A tag's value as text, a number, or a tuple of these; None if empty."""
    if value is None or isinstance(value, bytes):  # bytes: not a valid type for any of these tags
        return None
    if isinstance(value, int | float):
        return float(value)
    if isinstance(value, MultiValue | list | tuple):
        return tuple(plain(one) for one in value[:MAX_VALUES]) or None
    return str(value)[:MAX_TEXT] or None


def _slices(root: Path, path: str) -> list[Slice]:
    """The slices of one file, one per frame."""
    real = resolve_inside(root, path)
    with guarded(path, "file", quote=False), real.open("rb") as file:
        start = file.read(PREAMBLE + len(MAGIC))
    if not any(start):
        raise InputError(f"{path}: {'nothing but zeros' if start else 'zero bytes'}, perhaps an interrupted copy")
    if not is_dicom(real):
        return []
    with opened(real, path, [*WANTED, "EchoPlanarPulseSequence", SHARED, EACH]) as data:
        if data.file_meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage:
            return []
        tags = {name: plain(data.get(name)) for name in WANTED}
        if not tags["Modality"] or not tags["SeriesInstanceUID"]:
            raise InputError(f"{path}: incomplete DICOM file (no Modality or SeriesInstanceUID); copy it again")
        if tags["Modality"] != "MR":
            return []
        if data.get("EchoPlanarPulseSequence") == "YES":
            tags["ScanningSequence"] = "EP"  # as in classic MR files
        frames = [tags | of_frame for of_frame in _frames(data)] or [tags]
        if len(frames) != (tags["NumberOfFrames"] or 1):
            raise InputError(
                f"{path}: has {tags['NumberOfFrames']:.0f} frames, but positions of {len(frames)}; "
                "convert it to NIfTI, for example with dcm2niix"
            )
        for one in frames:
            _check_form(one, path)
    return [Slice(path, one, number) for number, one in enumerate(frames)]


def _frames(data: Dataset) -> list[dict[str, Any]]:
    """Tags of each frame of enhanced MR; empty for other files."""
    shared = next(iter(data.get(SHARED) or []), Dataset())
    found = []
    for each in data.get(EACH) or []:
        tags = {}
        for name, (sequence, tag) in OF_FRAMES.items():
            groups = each.get(sequence) or shared.get(sequence) or [Dataset()]
            value = plain(groups[0].get(tag))
            single = name not in VECTORS and isinstance(value, tuple)
            tags[name] = value[0] if single else value
        tags = {name: value for name, value in tags.items() if value is not None}
        # all echoes of a file form one series; its slices then coincide, which is refused
        found.append(tags | {"EchoTime": found[0]["EchoTime"] if found else tags.get("EchoTime")})
    return found


def _check_form(tags: Tags, path: str) -> None:
    single = all(isinstance(tags[name], float | None) for name in SINGLE)
    vectors = (np.array(tags[name] or np.zeros(count), float) for name, count in VECTORS.items())
    counts = VECTORS.values()
    if not single or any(v.shape != (n,) or not np.isfinite(v).all() for v, n in zip(vectors, counts, strict=True)):
        raise InputError(f"{path}: malformed tags, such as two numbers instead of one; copy it again")


def _begins_with_element(start: bytes) -> bool:
    """Whether these bytes are an element of FIRST_GROUPS, with a plausible type and length."""
    explicit = start[4:6].isalpha() and start[4:6].isupper()
    length = int.from_bytes(start[6:8] if explicit else start[4:8], "little")
    return len(start) > 8 and start[:2] in FIRST_GROUPS and start[2:4] < b"\x20" and 0 < length <= 64 and not length % 2


def _check_inflated(real: Path, name: str) -> None:
    """Limits the size of a deflated file before pydicom unpacks all of it."""
    with real.open("rb") as file:
        if file.read(PREAMBLE + len(MAGIC))[PREAMBLE:] != MAGIC:
            file.seek(0)
        about = read_dataset(file, is_implicit_VR=False, is_little_endian=True, stop_when=_is_past_group_2)
        if about.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
            return
        unpacked = zlib.decompressobj(-zlib.MAX_WBITS).decompress(file.read(), MAX_INFLATED + 1)
    if len(unpacked) > MAX_INFLATED:
        raise InputError(f"{name}: more than {MAX_INFLATED // 2**20} MiB when unpacked; save it without deflation")


def _is_past_group_2(tag: BaseTag, vr: str | None, length: int) -> bool:
    return tag.group != 2
