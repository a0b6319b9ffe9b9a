"""Routes the user's inputs: single images to the 2D network, volumes to the 3D one."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from btlib.app.predict.case_results import CANONICAL, predict_cases
from btlib.app.predict.slice_results import predict_slices
from btlib.app.scans.case_files import Found, find_cases, is_case, stated_case
from btlib.core.runtime.errors import InputError
from btlib.volumes.data.conventions import MODALITIES
from btlib.volumes.data.labels import CONVENTIONS

Kind = Literal["images", "volumes"] | None


class VolumeOptions(NamedTuple):
    """The user's options for volumes.

    stated: modality -> file or folder, all four or none; resample, orientation, labels: see `predict_cases`.
    """

    stated: Mapping[str, Path] = {}
    resample: bool = False
    orientation: str | None = None
    labels: str = CANONICAL


def predict(
    paths: Sequence[Path], models: Path, out: Path, kind: Kind, options: VolumeOptions, resume: bool = False
) -> int:
    """Predicts everything in `paths`, or the one case of `options.stated`, and writes `out`.

    Args:
        models: holds the model folders `classifier` and `joint`.
        kind: how to read the paths; None: depending on their content.
        resume: continue the run in `out`.

    Returns:
        The number of images or cases.

    Raises:
        InputError: a path does not exist, images and volumes are mixed, or an input is faulty.
    """
    if options.labels not in CONVENTIONS:
        raise InputError(f"--labels {options.labels}: unknown numbering; choose from {', '.join(CONVENTIONS)}")
    if options.stated:
        return _predict_volumes(_find_stated(paths, kind, options.stated), models, out, options, resume)
    if not paths:
        raise InputError(f"nothing to predict: give images, folders or cases, or {_flags(MODALITIES)}")
    missing = [path for path in paths if not _exists(path)]
    if missing:
        raise InputError("\n".join(f"{path}: no such file or folder" for path in missing))
    cases = [path for path in paths if kind == "volumes" or (kind is None and is_case(path))]
    if not cases:
        return predict_slices(paths, models / "classifier", out, resume)
    if len(cases) < len(paths):
        (image, *_) = [path for path in paths if path not in cases]
        raise InputError(
            f"{cases[0]} holds volumes and {image} images; predict them separately, each with its own --out"
        )
    return _predict_volumes(find_cases(paths), models, out, options, resume)


def _predict_volumes(found: Found, models: Path, out: Path, options: VolumeOptions, resume: bool) -> int:
    return predict_cases(found, models / "joint", out, options.resample, options.orientation, options.labels, resume)


def _find_stated(paths: Sequence[Path], kind: Kind, stated: Mapping[str, Path]) -> Found:
    lacking = [name for name in MODALITIES if name not in stated]
    if lacking:
        raise InputError(f"{_flags(lacking)}: not given; name all four volumes, or write a case.json beside the files")
    if paths or kind == "images":
        raise InputError(f"{_flags(MODALITIES)} name one case of volumes; predict images and other cases separately")
    return Found([stated_case(stated)], [], {})


def _flags(names: Sequence[str]) -> str:
    return ", ".join(f"--{name}" for name in names)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # name too long or with a NUL, or a loop of links
        return False
