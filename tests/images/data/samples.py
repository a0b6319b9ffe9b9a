"""Tiny data for the tests of btlib.images.data."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import h5py
import numpy as np
import pandas as pd
from PIL import Image

from btlib.core.runtime.artifacts import write_csv
from btlib.images.data.classes import CLASSES
from btlib.images.data.lesion_maps import FULL, UNKNOWN, map_size


def picture(key: int, height: int = 24, width: int = 32) -> np.ndarray:
    """A distinct grey uint8 image [H, W, 3]: smooth random blobs, never blank."""
    small = np.random.default_rng(key).integers(0, 256, (6, 8), dtype=np.uint8)
    gray = np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))
    return np.repeat(gray[:, :, None], 3, axis=2)


def save(path: Path, image: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)
    return path


def make_class_folders(root: Path, per_class: int = 3, names: tuple[str, ...] = CLASSES) -> Path:
    for k, name in enumerate(names):
        for n in range(per_class):
            save(root / name / f"{n:02}.png", picture(100 * k + n))
    return root


def brain(key: int) -> np.ndarray:
    """A distinct smooth grey slice [96, 104] on a dark background, with a bright lesion at `lesion_of(key)`."""
    rng = np.random.default_rng(key)
    blobs = cv2.resize(rng.integers(40, 160, (6, 6), dtype=np.uint8), (104, 96), interpolation=cv2.INTER_CUBIC)
    y, x = np.mgrid[-1:1:96j, -1:1:104j]
    image = np.where(x**2 + y**2 < 0.9, blobs, 5).astype(np.float32)
    image[lesion_of(key)] = 230
    return cv2.GaussianBlur(image, (0, 0), 0.8).astype(np.uint8)


def lesion_of(key: int) -> np.ndarray:
    """bool [96, 104]: an off-centre disc."""
    y, x = np.random.default_rng((key, 1)).uniform((20, 20), (40, 45))
    rows, columns = np.ogrid[:96, :104]
    return (rows - y) ** 2 + (columns - x) ** 2 < 9**2


def make_case(
    path: Path,
    label: int = 2,
    patient: str = "100360",
    side: int = 32,
    leave_out: str = "",
    picture: int | None = None,
) -> np.ndarray:
    """A Figshare .mat file; returns the image as displayed by MATLAB, int16 [rows, columns].

    Args:
        picture: the slice is `brain` of this key, and its mask the lesion there; None: noise.
    """
    image = np.random.default_rng(label).integers(-5, 3000, (side, side + 8)).astype(np.int16)
    mask = np.zeros(image.shape, np.uint8)
    mask[2:5, 10:20] = 1
    if picture is not None:
        image, mask = brain(picture).astype(np.int16), lesion_of(picture).astype(np.uint8)
    fields = {
        "label": np.array([[float(label)]]),
        "PID": np.array([[ord(c)] for c in patient], np.uint16),
        "image": image.T,  # MATLAB stores columns first
        "tumorMask": mask.T,
        "tumorBorder": np.zeros((1, 8)),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, value in fields.items():
            if name != leave_out:
                file[f"cjdata/{name}"] = value
    return image


def save_lesions(folder: Path, images: int, size: int) -> None:
    """Lesion maps beside the processed images: every second one is unknown."""
    maps = np.random.default_rng(0).integers(0, FULL + 1, (images, map_size(size), map_size(size)), dtype=np.uint8)
    maps[1::2] = UNKNOWN
    save_array(folder / "lesions.npy", maps)


def save_phantom_slices(
    folder: Path, size: int, labels: Sequence[str] = CLASSES * 4, backgrounds: Sequence[str] | None = None
) -> None:
    """A folder as stage phantom_slices leaves it; without `backgrounds`, no lesion was pasted into an image."""
    rng, count = np.random.default_rng(1), len(labels)
    save_array(folder / "images.npy", rng.integers(0, 256, (count, size, size), dtype=np.uint8))
    save_array(folder / "lesions.npy", rng.integers(0, FULL + 1, (count, map_size(size), map_size(size)), np.uint8))
    names = [f"p{n}" for n in range(count)]
    table = pd.DataFrame({"image_id": names, "label": labels, "background": backgrounds or [""] * count})
    write_csv(folder / "index.csv", table)


def save_array(path: Path, array: np.ndarray) -> None:
    """Writes an .npy file, as stage preprocess_images leaves them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array, allow_pickle=False)
