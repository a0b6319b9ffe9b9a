"""Normalises cases to a common orientation, voxel size and intensity scale."""

import hashlib
import math
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from btlib.core.runtime.artifacts import atomic_path, write_csv
from btlib.core.runtime.errors import InputError
from btlib.core.runtime.lock import locked
from btlib.core.runtime.paths import resolve_inside
from btlib.core.runtime.workers import in_parallel
from btlib.volumes.data.conventions import LABELS, MODALITIES
from btlib.volumes.data.geometry import axis_weights, bounding_box, cropped, isotropic, resampled, to_ras
from btlib.volumes.data.grid import MAX_VOXELS, by
from btlib.volumes.data.reading import CHANNEL, read_case
from btlib.volumes.data.store import Case, case_path, load_case, save_case
from btlib.volumes.data.volume import Header

FINISHED = Path(".btlib/resume/normalize_volumes")
FLAT = 1e-5  # of the largest value; a smaller spread is rounding


def normalize(
    name: str,
    images: np.ndarray,
    seg: np.ndarray | None,
    affine: np.ndarray,
    spacing: float,
    percentiles: Sequence[float],
    header: Header | None = None,
) -> Case:
    """Reorients to RAS, crops to the brain, resamples, then clips and z-scores each modality inside the brain.

    A modality's brain is where it is nonzero; the box contains that of all modalities. Labels are interpolated without
    the anti-aliasing of the images, and the strongest wins: with it, an enhancing rim of 1 mm would vanish at 3 mm,
    without it keeps its volume. So it would with nearest neighbour, but with less accurate borders.

    Args:
        name: of the case.
        images: float [4, X, Y, Z] in the order of MODALITIES, any orientation, 0 outside the brain.
        seg: canonical labels [X, Y, Z], or None.
        affine: [4, 4] of their grid.
        spacing: of the new isotropic voxels, mm.
        percentiles: lower and upper clipping percentile of the brain's values.
        header: of the input files, see `Case`.

    Raises:
        InputError: there is no brain, or none at this spacing, a modality is constant in it, or there are too many
            voxels of `spacing`.
    """
    ras, ras_affine = to_ras(images, affine)
    brain = (ras != 0).any(axis=0)
    if not brain.any():
        raise InputError(f"case {name}: every voxel of every modality is zero; replace its files or remove the case")
    box = bounding_box(brain)
    ras = ras[:, *box]
    centers, ratio, new_affine = isotropic(ras.shape[1:], cropped(ras_affine, box), spacing)
    size = tuple(map(len, centers))
    if math.prod(size) > MAX_VOXELS:
        raise InputError(
            f"case {name}: {by(size)} voxels of {spacing:g} mm around its brain, more than the {MAX_VOXELS:,} allowed; "
            "raise volumes.spacing"
        )
    weights = [axis_weights(*axis) for axis in zip(centers, ras.shape[1:], ratio, strict=True)]
    image = np.empty((len(ras), *size), np.float16)
    for number, modality in enumerate(MODALITIES):
        image[number] = _standardize(ras[number], weights, percentiles, f"case {name}: {modality}")
    if seg is not None:
        seg = _resample_labels(to_ras(seg, affine)[0][box], centers)
    return Case(name, image, seg, new_affine, np.array(affine, np.float64), images.shape[1:], header)


def _standardize(
    volume: np.ndarray, weights: Sequence[np.ndarray], percentiles: Sequence[float], where: str
) -> np.ndarray:
    """One modality on the new grid, float64 with mean 0 and standard deviation 1 inside the brain, 0 outside."""
    share = resampled(volume != 0, weights)
    inside = share >= 0.5
    _check_brain(volume, np.count_nonzero(inside), where)
    values = resampled(volume, weights)[inside] / share[inside]  # compensates for the zeros outside at the edge
    values = np.clip(values, *np.percentile(values, percentiles))
    spread = values.std(dtype=np.float64)
    if spread <= FLAT * np.abs(values).max():
        raise InputError(f"{where} has the same value in the whole brain; replace its file or remove the case")
    standard = np.zeros(inside.shape)
    standard[inside] = (values - values.mean(dtype=np.float64)) / spread
    return standard


def _check_brain(volume: np.ndarray, remaining: int, where: str) -> None:
    """Raises InputError if a modality is blank, or has too few voxels of the new size to be standardised."""
    voxels = np.count_nonzero(volume)
    if not voxels:
        raise InputError(f"{where} is zero in the whole brain; replace its file or remove the case")
    if remaining < 2:
        raise InputError(
            f"{where}: of its {voxels} nonzero voxels, volumes.spacing leaves {remaining or 'none'} at least half "
            "filled with brain; reduce volumes.spacing, or, if this is no whole brain, replace its file or remove the "
            "case"
        )


def _resample_labels(seg: np.ndarray, centers: Sequence[np.ndarray]) -> np.ndarray:
    weights = [axis_weights(*axis) for axis in zip(centers, seg.shape, strict=True)]
    # Inner labels first, since the first of equals wins: half-way between voxels ties are common, and thin rims would
    # lose them to the background.
    labels = np.array(sorted(LABELS.values(), reverse=True), np.uint8)
    return labels[np.stack([resampled(seg == label, weights) for label in labels]).argmax(axis=0)]


def write_normalized(
    folder: Path,
    root: Path,
    manifest: pd.DataFrame,
    resample: bool,
    spacing: float,
    percentiles: Sequence[float],
    finished: Path = FINISHED,
) -> None:
    """Normalises every case of the manifest into `folder`/<case>.npy and index.csv (see `load_case`, `load_index`).

    Finished cases are kept in `finished` under a hash of everything they depend on, until all are done: a killed run
    resumes with the missing ones, and one with other parameters, files or code starts over.

    Raises:
        InputError: a case cannot be read or normalised, the disk is full, or another process is normalising here;
            `folder` is left unchanged.
    """
    settings = (resample, spacing, tuple(percentiles), _code())
    rows = [row for _, row in manifest.iterrows()]
    with locked(finished.with_suffix(".lock"), f"{folder}: another process is normalising volumes here"):
        files = list(in_parallel(partial(_finish, finished, root, settings), rows, "normalize", unit="case", batch=1))
        with atomic_path(folder) as temporary:
            temporary.mkdir()
            for case, file in zip(manifest["case"], files, strict=True):
                _link(file, case_path(temporary, case))
            index = manifest[["case", "patient", "grade"]].assign(has_seg=manifest["seg"] != "")
            write_csv(temporary / "index.csv", index)
        shutil.rmtree(finished)


def _finish(finished: Path, root: Path, settings: tuple, row: pd.Series) -> Path:
    """The file of one normalised case, written unless an intact one of an earlier run exists."""
    name = _case_hash(root, settings, row)
    path = case_path(finished, name)
    if path.exists():
        try:
            load_case(finished, name)
            return path
        except InputError:
            print(f"{path}: damaged or unfinished; it was removed, case {row['case']} is normalised again", flush=True)
            path.unlink()
    resample, spacing, percentiles, _ = settings
    images, seg, affine, header = read_case(root, row, resample)
    save_case(path, normalize(row["case"], images, seg, affine, spacing, percentiles, header))
    return path


def _link(file: Path, target: Path) -> None:
    """Puts a finished case into the output as well; a second copy of a large set might not fit on the disk."""
    try:
        target.hardlink_to(file)
    except OSError:  # another disk, or one without hard links
        shutil.copyfile(file, target)


def _case_hash(root: Path, settings: tuple, row: pd.Series) -> str:
    """A hash of the settings, the manifest's row and the bytes of its files."""
    digest = hashlib.blake2b(repr((settings, row.to_dict())).encode(), digest_size=16)
    paths = [row[name] for name in (*MODALITIES, "seg") if row[name]]
    channels = map(CHANNEL.fullmatch, paths)
    for path in sorted({found["file"] if found else path for path, found in zip(paths, channels, strict=True)}):
        digest.update(resolve_inside(root, path).read_bytes())
    return digest.hexdigest()


def _code() -> str:
    """A hash of this package, since other code may give other voxels."""
    modules = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.blake2b(b"".join(path.read_bytes() for path in modules), digest_size=16).hexdigest()
