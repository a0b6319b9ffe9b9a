"""Which network answers for what a user names: single images go to the 2D one, volumes to the 3D one."""

from collections.abc import Sequence
from pathlib import Path

from btlib.deploy.case_files import is_case
from btlib.deploy.case_results import predict_cases
from btlib.deploy.slice_results import predict_slices
from btlib.errors import InputError


def predict(paths: Sequence[Path], models: Path, out: Path, resample: bool) -> int:
    """Predicts everything in `paths` and writes `out`.

    Args:
        models: the folder with the model folders `classifier` and `joint`.
        resample: see `predict_cases`.

    Returns:
        The number of images or cases.

    Raises:
        InputError: a path does not exist, images and volumes come together, or one of the two roads finds a fault.
    """
    missing = [path for path in paths if not path.exists()]
    if missing:
        raise InputError("\n".join(f"{path}: no such file or folder" for path in missing))
    cases = [path for path in paths if is_case(path)]
    if not cases:
        return predict_slices(paths, models / "classifier", out)
    if len(cases) < len(paths):
        (image, *_) = [path for path in paths if path not in cases]
        raise InputError(f"{cases[0]} holds volumes and {image} images; predict them apart, each with its own --out")
    return predict_cases(paths, models / "joint", out, resample)
