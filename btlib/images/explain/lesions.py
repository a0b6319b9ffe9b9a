"""Lesion masks on the grid of the processed images."""

from collections.abc import Sequence

import cv2
import numpy as np
import pandas as pd
from tqdm import tqdm

from btlib.core.runtime.errors import InputError
from btlib.images.data.masks import Masks


def lesion_masks(manifest: pd.DataFrame, masks: Masks, image_ids: Sequence[str], size: tuple[int, int]) -> np.ndarray:
    """Lesion mask of each image; empty if the manifest names no mask.

    Args:
        manifest: `image_id, mask_path`, the latter '' if no lesion is known.
        masks: reader of the mask files.
        image_ids: N names.
        size: height and width of the processed images.

    Returns:
        bool [N, height, width].

    Raises:
        InputError: an image is not in the manifest, or its mask cannot be read.
    """
    paths = manifest.set_index("image_id")["mask_path"]
    strangers = sorted(set(image_ids) - set(paths.index))
    if strangers:
        raise InputError(f"'{strangers[0]}' is predicted but not in the manifest; run `dvc repro evaluate`")
    lesions = np.zeros((len(image_ids), *size), dtype=bool)
    for lesion, path in zip(lesions, tqdm(paths[list(image_ids)], desc="lesion masks"), strict=True):
        if path:
            lesion[:] = resized_mask(masks.open(path), size)
    return lesions


def resized_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes a mask, bool [h, w], to (height, width) by nearest neighbour, which keeps it binary."""
    return cv2.resize(mask.astype(np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST_EXACT).astype(bool)
