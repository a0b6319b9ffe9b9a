"""A DICOM study with four series to volumes: told apart by their tags, stacked by the positions of their slices.

No other tags than those named here are read, so that names, birth dates and other text about the patient never are.
"""

import warnings
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from nibabel.affines import voxel_sizes
from pydicom import Dataset, dcmread
from pydicom.misc import is_dicom
from pydicom.uid import MediaStorageDirectoryStorage

from btlib.data.reading import resolve_inside
from btlib.data.volumes.conventions import MODALITIES
from btlib.data.volumes.reading import MAX_VOXELS, MIN_SIDE, VOXEL_SIZES, Volume
from btlib.deploy.dicom_pixels import PIXELS, decoded
from btlib.deploy.modality_words import OTHER, spoken
from btlib.errors import InputError, listed

IDENTITY = ["Modality", "StudyInstanceUID", "SeriesInstanceUID", "NumberOfFrames"]
CONTRAST = ["SeriesDescription", "ProtocolName", "ContrastBolusAgent", "ScanningSequence"]
TIMES = ["EchoTime", "RepetitionTime", "InversionTime"]  # ms
VECTORS = {"ImagePositionPatient": 3, "ImageOrientationPatient": 6, "PixelSpacing": 2}  # and how many numbers they have
GEOMETRY = [*VECTORS, "Rows", "Columns"]
NO_AGENT = {"", "none", "no", "n", "0"}  # what scanners write into ContrastBolusAgent where there was none
OFF_LINE = 0.1  # of the distance between slices: how far one may lie from its place in an even stack
ALIKE = 1e-3  # in directions of length 1 and mm between pixels: rounding
TO_RAS = np.diag([-1.0, -1, 1, 1])  # DICOM counts to the left and to the back


class Slice(NamedTuple):
    """One file of a study: its path relative to the root, and its tags without the pixels."""

    path: str
    tags: Dataset


def headers(root: Path, paths: Iterable[str]) -> list[Slice]:
    """The MR images among the files; what is no DICOM is skipped, and so are reports, masks and other modalities.

    Raises:
        InputError: a DICOM file is cut short within its tags.
    """
    found = [Slice(path, _read(root, path, pixels=False)) for path in paths if is_dicom(resolve_inside(root, path))]
    images = [one for one in found if one.tags.file_meta.get("MediaStorageSOPClassUID") != MediaStorageDirectoryStorage]
    for path, tags in images:
        if not tags.get("Modality") or not tags.get("SeriesInstanceUID"):
            raise InputError(f"{path}: not a whole DICOM file (no Modality or no SeriesInstanceUID); copy it again")
    return [one for one in images if one.tags.Modality == "MR"]


def is_volume(slices: Sequence[Slice]) -> bool:
    """Whether these are slices of volumes and not single pictures: at least MIN_SIDE in one series."""
    counts: dict[str, int] = defaultdict(int)
    for one in slices:
        counts[str(one.tags.SeriesInstanceUID)] += int(one.tags.get("NumberOfFrames") or 1)
    return max(counts.values(), default=0) >= MIN_SIDE


def read_study(case: str, root: Path, paths: Sequence[str]) -> tuple[dict[str, Volume], list[str]]:
    """The volumes of one study by modality, and what is wrong with it.

    Args:
        case: its name, for the messages.
        root: the folder below which the files lie.
        paths: files of the study, relative to `root`, in any order.
    """
    try:
        chosen = choose_series(case, headers(root, paths))
    except InputError as error:
        return {}, [str(error)]
    volumes, faults = {}, []
    for name, series in chosen.items():
        try:
            volumes[name] = stacked(root, series)
        except InputError as error:
            faults.append(f"case {case}: {name}: {error}")
    return volumes, faults


def choose_series(case: str, slices: Sequence[Slice]) -> dict[str, list[Slice]]:
    """The slices of each modality.

    Scouts, which have fewer than MIN_SIDE slices, and series of other kinds may lie beside the four.

    Raises:
        InputError: a modality is missing, or several series could be it; lists the series without their descriptions,
            which may hold text about the patient.
    """
    frames = [one.path for one in slices if int(one.tags.get("NumberOfFrames") or 1) > 1]
    if frames:
        raise InputError(
            f"case {case}: {frames[0]} holds many slices in one file (enhanced DICOM); convert the study to NIfTI, for "
            "example with dcm2niix, and predict from that"
        )
    echoes: dict[tuple, list[Slice]] = defaultdict(list)  # one series may hold several echoes of the same places
    for one in slices:
        echoes[str(one.tags.SeriesInstanceUID), str(one.tags.get("EchoTime"))].append(one)
    series = [found for found in echoes.values() if len(found) >= MIN_SIDE]
    kinds = [modality_of(found[0].tags) for found in series]
    if sorted(kind for kind in kinds if kind in MODALITIES) == sorted(MODALITIES):
        return {name: series[kinds.index(name)] for name in MODALITIES}
    count = ", ".join(f"{kinds.count(name)} of {name}" for name in MODALITIES)
    seen = listed([_described(found, kind) for found, kind in zip(series, kinds, strict=True)]) or "  - nothing else"
    raise InputError(
        f"case {case}: expected one series of each modality, found {count}; leave one of each in the folder, or name "
        "the four in a cases.csv after converting them to NIfTI (for example with dcm2niix). The series of at least "
        f"{MIN_SIDE} slices:\n{seen}"
    )


def modality_of(tags: Dataset) -> str | None:
    """One of MODALITIES, OTHER, or None where words and times do not tell, or contradict each other."""
    words = spoken(str(tags.get("SeriesDescription") or ""))
    if words.weighting is None:
        words = spoken(str(tags.get("ProtocolName") or ""))._replace(contrast=words.contrast)
    timed = None if words.weighting == OTHER else _weighting_by_times(tags)
    if words.weighting and timed and words.weighting != timed:
        return None
    weighting = words.weighting or timed
    if weighting != "t1":
        return weighting
    agent = str(tags.get("ContrastBolusAgent") or "").strip().lower() not in NO_AGENT
    return "t1ce" if (agent if words.contrast is None else words.contrast) else "t1"


def _weighting_by_times(tags: Dataset) -> str | None:
    """By times only far from any doubt, in ms: spin echo and MPRAGE for T1, inversion of fluid for FLAIR."""
    echo, repetition, inversion = (_number(tags, name) for name in TIMES)
    if not echo or not repetition or "EP" in str(tags.get("ScanningSequence") or ""):
        return None  # echo-planar: diffusion or perfusion
    if echo >= 60:
        return "flair" if inversion >= 1500 else None if inversion else "t2"
    if echo < 20 and (repetition <= 1200 or 400 <= inversion <= 1400):
        return "t1"
    return None


def stacked(root: Path, series: Sequence[Slice]) -> Volume:
    """The slices of one series as a volume, in the order of their positions along their common normal.

    Raises:
        InputError: no position; slices of several orientations or sizes; one missing, twice or off the line.
    """
    first = series[0].path
    if any(not one.tags.get(name) for one in series for name in GEOMETRY):
        raise InputError(f"{first} and others of its series: {', '.join(GEOMETRY)} are not in every slice")
    shapes = {(int(one.tags.Columns), int(one.tags.Rows)) for one in series}
    planes = np.array([[*one.tags.ImageOrientationPatient, *one.tags.PixelSpacing] for one in series], float)
    if len(shapes) > 1 or np.ptp(planes, axis=0).max() > ALIKE:
        raise InputError(f"{first} and others of its series: slices of several orientations or sizes")
    along, down = planes[0, :3], planes[0, 3:6]
    if np.abs([along @ along - 1, down @ down - 1, along @ down]).max() > ALIKE:
        raise InputError(
            f"{first} and others of its series: ImageOrientationPatient is not two directions at right angles"
        )
    places = np.array([one.tags.ImagePositionPatient for one in series], float)
    order = np.argsort(places @ np.cross(along, down))
    places = places[order]
    step = (places[-1] - places[0]) / (len(series) - 1)
    _check_even(places, step, first)
    row_spacing, column_spacing = planes[0, 6:]
    affine = np.eye(4)
    affine[:3] = np.column_stack([along * column_spacing, down * row_spacing, step, places[0]])
    (shape,) = shapes
    _check_grid((*shape, len(series)), affine, first)
    pixels = [_pixels(root, series[k].path, shape) for k in order]
    return Volume(first, np.stack(pixels, axis=-1), TO_RAS @ affine, positioned=True)


def _check_even(places: np.ndarray, step: np.ndarray, first: str) -> None:
    even = places[0] + np.arange(len(places))[:, None] * step
    size = np.linalg.norm(step)
    if not size or np.linalg.norm(places - even, axis=1).max() > OFF_LINE * size:
        gaps = np.linalg.norm(np.diff(places, axis=0), axis=1)
        raise InputError(
            f"{first} and others of its series: the slices lie {gaps.min():.2f} to {gaps.max():.2f} mm apart, expected "
            "even steps: one is missing, or several volumes are in one series"
        )


def _check_grid(shape: tuple[int, ...], affine: np.ndarray, first: str) -> None:
    """Before the pixels are read for what the tags promise."""
    sizes = voxel_sizes(affine)
    low, high = VOXEL_SIZES
    fits = min(shape) >= MIN_SIDE and np.prod(shape, dtype=float) <= MAX_VOXELS
    if not fits or not ((sizes >= low).all() and (sizes <= high).all()):
        raise InputError(
            f"{first} and others of its series: {'×'.join(map(str, shape))} voxels of "
            f"{'×'.join(f'{size:.2f}' for size in sizes)} mm are no volume of a head"
        )
    if abs(np.linalg.det(affine[:3, :3] / sizes)) < 0.9:
        raise InputError(f"{first} and others of its series: the slices are not stacked at right angles")


def _pixels(root: Path, path: str, shape: tuple[int, int]) -> np.ndarray:
    """float32 [columns, rows] with the scanner's scaling."""
    tags = _read(root, path, pixels=True)
    if tags.get("PhotometricInterpretation") != "MONOCHROME2":
        raise InputError(f"{path}: not a grey picture with black as 0 (MONOCHROME2)")
    values = decoded(tags, path, "convert the study to NIfTI, for example with dcm2niix").T.astype(np.float32)
    if values.shape != shape:
        raise InputError(f"{path}: not {shape[0]}×{shape[1]} pixels, as the first slice of its series")
    return values


def _read(root: Path, path: str, pixels: bool) -> Dataset:
    wanted = [*IDENTITY, *CONTRAST, *TIMES, *GEOMETRY, *(PIXELS if pixels else ())]
    try:
        with warnings.catch_warnings(action="ignore"):  # pydicom's warnings quote tags
            tags = dcmread(resolve_inside(root, path), stop_before_pixels=not pixels, specific_tags=wanted)
            for name in (*TIMES, "Rows", "Columns", "NumberOfFrames"):
                float(tags.get(name) or 0)  # decoded here and now, where faults are caught
            for name, count in VECTORS.items():
                values = np.array(tags.get(name) or np.zeros(count), float)
                if values.shape != (count,) or not np.isfinite(values).all():
                    raise ValueError(name)
        return tags
    except InputError:
        raise
    except Exception as error:  # as above
        raise InputError(f"{path}: not a whole DICOM file, or tags of an odd form ({type(error).__name__})") from None


def _number(tags: Dataset, name: str) -> float:
    """0 where the tag is missing or empty."""
    return float(tags.get(name) or 0)


def _described(series: Sequence[Slice], kind: str | None) -> str:
    times = ", ".join(f"{name} {_number(series[0].tags, name):g} ms" for name in TIMES)
    what = {None: "not recognised", OTHER: "another kind"}.get(kind, kind)
    return f"{series[0].path} and {len(series) - 1} more: {what} ({times})"
