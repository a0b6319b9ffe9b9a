"""Opens images and lesion masks below a root, of any supported kind."""

from pathlib import Path

import numpy as np

from btlib.core.runtime.errors import InputError
from btlib.core.runtime.paths import resolve_inside
from btlib.images.data.decoding import decode_image, decode_mask
from btlib.images.data.mat import mat_image, mat_label, mat_mask


def open_image(root: Path, path: str) -> np.ndarray:
    """Reads one image.

    Args:
        root: the images' folder.
        path: relative to `root`; `.mat` is read as a Figshare case, everything else by its content.

    Returns:
        uint8 [height, width, 3], RGB.

    Raises:
        InputError: the file cannot be read completely, or is unusable; names the file and the reason.
    """
    real = resolve_inside(root, path)
    return _refuse_blank(mat_image(real, path) if _is_mat(path) else decode_image(real, path), path)


def open_picture(root: Path, path: str) -> np.ndarray:
    """As `open_image`, but without Figshare cases, for pictures of any origin."""
    return _refuse_blank(decode_image(resolve_inside(root, path), path), path)


def open_mask(root: Path, mask_path: str) -> np.ndarray:
    """Reads one lesion mask: bool [height, width], True for nonzero values; in a JPEG or WebP, whose compression leaves
    artefacts everywhere, above half of the maximum.

    Raises:
        InputError: as for `open_image`; or a JPEG or WebP does not have two distinct levels. An empty mask is allowed.
    """
    real = resolve_inside(root, mask_path)
    return mat_mask(real, mask_path) if _is_mat(mask_path) else decode_mask(real, mask_path)


def read_mat_label(root: Path, path: str) -> tuple[int, str]:
    """The label number and the patient id ('' if blank) of a Figshare case.

    Raises:
        InputError: the file is damaged or lacks one of them.
    """
    return mat_label(resolve_inside(root, path), path)


def _is_mat(path: str) -> bool:
    return path.lower().endswith(".mat")


def _refuse_blank(image: np.ndarray, path: str) -> np.ndarray:
    if image.min() == image.max():
        raise InputError(f"{path}: blank, every pixel has the same value")
    return image
