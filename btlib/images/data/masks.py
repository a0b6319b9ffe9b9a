"""Lesion masks without files of their own beside the images, packed into one file."""

from collections.abc import Mapping
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from btlib.core.runtime.artifacts import atomic_path
from btlib.core.runtime.errors import InputError
from btlib.images.data.reading import open_mask

LINKED = "link:"  # prefix of `mask_path` for linked masks; the image's id in the packed file follows


def write_masks(path: Path, masks: Mapping[str, np.ndarray]) -> None:
    """Writes masks, bool [height, width] each, by name."""
    with atomic_path(path) as temporary, temporary.open("wb") as handle:
        np.savez_compressed(handle, allow_pickle=False, **masks)


def mask_names(path: Path) -> set[str]:
    """The names in a file written by `write_masks`."""
    return set(_opened(path))


def _opened(path: Path) -> Mapping[str, np.ndarray]:
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, EOFError, ValueError, BadZipFile) as error:
        raise InputError(f"{path}: not a valid file of masks ({error}); run `dvc repro link_images`") from error


class Masks:
    """The lesion masks of a manifest: files below the images' root, and packed ones.

    Args:
        root: the images' folder.
        packed: a file written by `write_masks`.
    """

    def __init__(self, root: Path, packed: Path):
        self._root = root
        self._packed = _opened(packed)

    def open(self, mask_path: str) -> np.ndarray:
        """bool [height, width]. Raises InputError when the mask is missing or cannot be read."""
        if not mask_path.startswith(LINKED):
            return open_mask(self._root, mask_path)
        name = mask_path.removeprefix(LINKED)
        if name not in self._packed:
            raise InputError(f"no linked mask of image '{name}'; run `dvc repro link_images audit_images`")
        return self._packed[name]
