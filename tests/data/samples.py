"""Tiny data for the tests of btlib.data."""

from pathlib import Path

import h5py
import numpy as np
from PIL import Image

from btlib.data.classes import CLASSES


def picture(key: int, height: int = 24, width: int = 32) -> np.ndarray:
    """A grey uint8 image [H, W, 3] of its own: smooth random blobs, never blank."""
    small = np.random.default_rng(key).integers(0, 256, (6, 8), dtype=np.uint8)
    grey = np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))
    return np.repeat(grey[:, :, None], 3, axis=2)


def save(path: Path, image: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)
    return path


def make_class_folders(root: Path, per_class: int = 3, names: tuple[str, ...] = CLASSES) -> Path:
    for k, name in enumerate(names):
        for n in range(per_class):
            save(root / name / f"{n:02}.png", picture(100 * k + n))
    return root


def make_case(path: Path, label: int = 2, patient: str = "100360", side: int = 32, leave_out: str = "") -> np.ndarray:
    """A Figshare .mat file; returns the image as MATLAB would show it, int16 [rows, columns]."""
    image = np.random.default_rng(label).integers(-5, 3000, (side, side + 8)).astype(np.int16)
    mask = np.zeros(image.shape, np.uint8)
    mask[2:5, 10:20] = 1
    fields = {
        "label": np.array([[float(label)]]),
        "PID": np.array([[ord(c)] for c in patient], np.uint16),
        "image": image.T,  # MATLAB writes columns first
        "tumorMask": mask.T,
        "tumorBorder": np.zeros((1, 8)),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, value in fields.items():
            if name != leave_out:
                file[f"cjdata/{name}"] = value
    return image
