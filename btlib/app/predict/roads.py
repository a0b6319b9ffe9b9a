"""Which network answers for what a user names: single images go to the 2D one, volumes to the 3D one."""

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


class Wish(NamedTuple):
    """What the user says of volumes.

    stated: modality to file or folder, all four or none; resample, orientation, labels: see `predict_cases`.
    """

    stated: Mapping[str, Path] = {}
    resample: bool = False
    orientation: str | None = None
    labels: str = CANONICAL


def predict(paths: Sequence[Path], models: Path, out: Path, kind: Kind, wish: Wish) -> int:
    """Predicts everything in `paths`, or the one case that is stated, and writes `out`.

    Args:
        models: the folder with the model folders `classifier` and `joint`.
        kind: what the paths are to be read as; None: by what they hold.

    Returns:
        The number of images or cases.

    Raises:
        InputError: a path does not exist, images and volumes come together, or one of the two roads finds a fault.
    """
    if wish.labels not in CONVENTIONS:
        raise InputError(f"--labels {wish.labels}: no known numbering; there are {', '.join(CONVENTIONS)}")
    if wish.stated:
        return _predict_volumes(_stated(paths, kind, wish.stated), models, out, wish)
    if not paths:
        raise InputError(f"nothing to predict: name images, folders or cases, or {_options(MODALITIES)}")
    missing = [path for path in paths if not _exists(path)]
    if missing:
        raise InputError("\n".join(f"{path}: no such file or folder" for path in missing))
    cases = [path for path in paths if kind == "volumes" or (kind is None and is_case(path))]
    if not cases:
        return predict_slices(paths, models / "classifier", out)
    if len(cases) < len(paths):
        (image, *_) = [path for path in paths if path not in cases]
        raise InputError(f"{cases[0]} holds volumes and {image} images; predict them apart, each with its own --out")
    return _predict_volumes(find_cases(paths), models, out, wish)


def _predict_volumes(found: Found, models: Path, out: Path, wish: Wish) -> int:
    return predict_cases(found, models / "joint", out, wish.resample, wish.orientation, wish.labels)


def _stated(paths: Sequence[Path], kind: Kind, stated: Mapping[str, Path]) -> Found:
    lacking = [name for name in MODALITIES if name not in stated]
    if lacking:
        raise InputError(
            f"{_options(lacking)}: not given; name all four volumes, or write a case.json beside the files"
        )
    if paths or kind == "images":
        raise InputError(f"{_options(MODALITIES)} name one case of volumes; predict images and other cases apart")
    return Found([stated_case(stated)], [], {})


def _options(names: Sequence[str]) -> str:
    return ", ".join(f"--{name}" for name in names)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that is too long or holds a NUL, a loop of links
        return False
