"""Reads one image for prediction, to be called in an isolated process."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from btlib.app.scans.slice_files import not_mr, read_slice
from btlib.core.runtime.errors import InputError


class Picture(NamedTuple):
    """A readable file: image uint8 [height, width, 3]; remark: why it cannot be valid input for the network, if
    known."""

    path: Path
    image: np.ndarray
    remark: str


def picture_of(path: Path) -> Picture | str:
    """The image, or why it cannot be read."""
    try:
        return Picture(path, read_slice(path), not_mr(path))
    except InputError as error:
        return str(error).removeprefix(f"{path.name}: ")
