"""Decodes one image or lesion mask of any supported kind. File names and headers are not trusted.

What comes out is always uint8 RGB. Colour and palette images are converted; grey ones get three equal channels;
transparent pixels become black; 16-bit, 32-bit and float grey images are scaled from their own minimum and maximum
to 0 and 255 (16-bit *colour* files keep their high byte, as Pillow reads them). A JPEG's EXIF orientation is applied.
"""

from pathlib import Path

import h5py
import numpy as np
from PIL import Image, ImageOps

from btlib.errors import InputError

FORMATS = ("JPEG", "PNG", "TIFF", "BMP")
MIN_SIDE = 16  # pixels; anything smaller is an icon or a broken export
MAX_PIXELS = 50_000_000  # 7,000 × 7,000; a larger header is a decompression bomb or no single slice


def resolve_inside(root: Path, path: str) -> Path:
    """The real file behind `root/path`.

    Raises:
        InputError: the file is missing, or it (or a link to it) lies outside `root`.
    """
    real = (root / path).resolve()
    if not real.is_relative_to(root.resolve()):
        raise InputError(f"{path}: leads out of its root folder to {real}; copy the file into the root")
    if not real.is_file():
        raise InputError(f"{path}: no such file (a dangling link, or moved since the scan)")
    return real


def open_image(root: Path, path: str) -> np.ndarray:
    """Reads one image.

    Args:
        root: the images' folder.
        path: relative to it; `.mat` is read as a Figshare case, everything else by its content.

    Returns:
        uint8 [height, width, 3], RGB.

    Raises:
        InputError: the file cannot be read whole, or is no usable image; names the file and the reason.
    """
    real = resolve_inside(root, path)
    image = _mat_image(real, path) if _is_mat(path) else _decoded(real, path)
    if image.min() == image.max():
        raise InputError(f"{path}: blank, every pixel has the same value")
    return image


def open_mask(root: Path, mask_path: str) -> np.ndarray:
    """Reads one lesion mask: bool [height, width], True wherever the stored value is not zero.

    Raises:
        InputError: as for `open_image`; an empty mask is no error.
    """
    real = resolve_inside(root, mask_path)
    if _is_mat(mask_path):
        with _mat(real, mask_path) as case:
            return _mat_field(case, "tumorMask", mask_path).astype(bool)
    return _decoded(real, mask_path).any(axis=-1)


def read_mat_label(root: Path, path: str) -> tuple[int, str]:
    """The label number and the patient id of a Figshare case. Raises InputError when either is missing."""
    with _mat(resolve_inside(root, path), path) as case:
        label = np.asarray(_dataset(case, "label", path)).ravel()
        patient = np.asarray(_dataset(case, "PID", path)).ravel()
    if label.size != 1 or not patient.size:
        raise InputError(f"{path}: cjdata/label holds {label.size} numbers and cjdata/PID {patient.size} characters")
    return int(label[0]), "".join(chr(int(code)) for code in patient)  # MATLAB text is a row of character codes


def _is_mat(path: str) -> bool:
    return path.lower().endswith(".mat")


def _decoded(real: Path, path: str) -> np.ndarray:
    if real.stat().st_size == 0:
        raise InputError(f"{path}: zero bytes")
    try:
        with Image.open(real, formats=FORMATS) as image:
            _check_size(*image.size, path)
            if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
                raise InputError(f"{path}: holds {image.n_frames} pages; save each slice as its own image")
            return _rgb(ImageOps.exif_transpose(image))
    except InputError:
        raise
    except Exception as error:  # damaged files make Pillow's decoders raise almost any kind
        reason = " ".join(str(error).replace(str(real), "it").split())
        raise InputError(f"{path}: not a whole JPEG, PNG, TIFF or BMP image ({reason})") from error


def _rgb(image: Image.Image) -> np.ndarray:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _grey_to_rgb(np.asarray(image))
    if image.has_transparency_data:
        black = Image.new("RGBA", image.size, "black")
        image = Image.alpha_composite(black, image.convert("RGBA"))
    return np.array(image.convert("RGB"))


def _grey_to_rgb(values: np.ndarray) -> np.ndarray:
    values = values.astype(np.float64)
    if not np.isfinite(values).all():
        raise ValueError("it holds NaN or infinite values")
    low, high = values.min(), values.max()
    grey = np.rint((values - low) * (255 / max(high - low, np.finfo(float).tiny))).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


def _check_size(width: int, height: int, path: str) -> None:
    if min(width, height) < MIN_SIDE:
        raise InputError(f"{path}: {width}×{height} pixels, less than {MIN_SIDE} on a side")
    if width * height > MAX_PIXELS:
        raise InputError(f"{path}: {width}×{height} pixels, more than the {MAX_PIXELS:,} allowed")


def _mat(real: Path, path: str) -> h5py.File:
    try:
        return h5py.File(real, "r")
    except OSError as error:
        raise InputError(f"{path}: not a whole MATLAB v7.3 file ({error})") from error


def _dataset(case: h5py.File, name: str, path: str) -> h5py.Dataset:
    found = case.get(f"cjdata/{name}")
    if not isinstance(found, h5py.Dataset):
        raise InputError(f"{path}: no field cjdata/{name}; a Figshare case has label, PID, image and tumorMask")
    return found


def _mat_field(case: h5py.File, name: str, path: str) -> np.ndarray:
    found = _dataset(case, name, path)
    if found.ndim != 2 or found.dtype.kind not in "biuf":
        raise InputError(f"{path}: cjdata/{name} is {found.dtype} {found.shape}, expected a matrix of numbers")
    _check_size(found.shape[0], found.shape[1], path)
    try:
        return found[:].T  # MATLAB stores columns first
    except OSError as error:
        raise InputError(f"{path}: cjdata/{name} cannot be read whole ({error})") from error


def _mat_image(real: Path, path: str) -> np.ndarray:
    with _mat(real, path) as case:
        values = _mat_field(case, "image", path)
    try:
        return _grey_to_rgb(values)
    except ValueError as error:
        raise InputError(f"{path}: cjdata/image: {error}") from error
