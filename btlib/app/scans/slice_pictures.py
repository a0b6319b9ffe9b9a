"""One image that is to be predicted, read where damaged bytes can do no harm."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from btlib.app.scans.slice_files import not_mr, read_slice
from btlib.core.runtime.errors import InputError


class Picture(NamedTuple):
    """A file that could be read: uint8 [height, width, 3]; `remark` says why it cannot be what the network was made
    for, if that is known."""

    path: Path
    image: np.ndarray
    remark: str


def picture_of(path: Path) -> Picture | str:
    """The image, or why it cannot be read."""
    try:
        return Picture(path, read_slice(path), not_mr(path))
    except InputError as error:
        return str(error).removeprefix(f"{path.name}: ")
