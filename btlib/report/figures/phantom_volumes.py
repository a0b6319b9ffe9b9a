"""A contact sheet of phantom volumes: some patients of each grade, in the slice that shows most of the tumour.

Run: python -m btlib.report.figures.phantom_volumes data/raw/phantom_volumes docs/img/phantom_volumes.png
"""

import argparse
from pathlib import Path

import cv2
import nibabel as nib
import numpy as np
import pandas as pd
from matplotlib.colors import to_rgb

from btlib.core.runtime.artifacts import atomic_path
from btlib.phantom.contrasts import MODALITIES
from btlib.phantom.gliomas import GRADES
from btlib.phantom.volume_set import COLUMNS, MAPPING
from btlib.phantom.volumes import BRATS_LABELS
from btlib.report.figures.style import TISSUE_COLORS

PATIENTS = 3  # of each grade
HEIGHT = 144  # pixels of a slice


def contact_sheet(folder: Path) -> np.ndarray:
    """The first patients of each grade, one per row: four modalities, then FLAIR with the segmentation's outlines.

    Returns:
        [rows × HEIGHT, width, 3] uint8, blue first; axial slices, the patient's right on the left.
    """
    table = pd.read_csv(folder / MAPPING)
    rows = []
    for grade in reversed(GRADES):
        for name in table.loc[table.Grade == grade, COLUMNS[-1]][:PATIENTS]:
            rows.append(_patient(folder / name))
            cv2.putText(rows[-1], grade, (4, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1, cv2.LINE_AA)
    return np.vstack(rows)


def _patient(folder: Path) -> np.ndarray:
    """One row [HEIGHT, width, 3] of the sheet."""
    volumes = {name: _load(folder / f"{folder.name}_{name}.nii.gz") for name in (*MODALITIES, "seg")}
    tumor = np.isin(volumes["seg"], [BRATS_LABELS["necrotic_core"], BRATS_LABELS["enhancing"]])
    level = int(tumor.sum((0, 1)).argmax())
    shown = [_shown(volumes[name], level) for name in MODALITIES]
    return np.hstack([*shown, _outlined(shown[-1], volumes["seg"][:, :, level].T)])


def _load(path: Path) -> np.ndarray:
    return np.asarray(nib.load(path).dataobj)


def _shown(volume: np.ndarray, level: int) -> np.ndarray:
    low, high = np.percentile(volume[volume > 0], (0.5, 99.8))
    gray = np.clip((volume[:, :, level].T - low) / (high - low), 0, 1) * 255
    return cv2.cvtColor(_enlarged(np.rint(gray).astype(np.uint8), cv2.INTER_CUBIC), cv2.COLOR_GRAY2BGR)


def _outlined(picture: np.ndarray, seg: np.ndarray) -> np.ndarray:
    picture = picture.copy()
    for name, color in TISSUE_COLORS.items():
        mask = _enlarged((seg == BRATS_LABELS[name]).astype(np.uint8), cv2.INTER_NEAREST)
        contours, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(picture, contours, -1, [255 * share for share in reversed(to_rgb(color))], 1)
    return picture


def _enlarged(plane: np.ndarray, interpolation: int) -> np.ndarray:
    rows, columns = plane.shape
    return cv2.resize(plane, (round(HEIGHT * columns / rows), HEIGHT), interpolation=interpolation)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="the folder that stage phantom_volumes wrote")
    parser.add_argument("out", type=Path, help="the picture, .png")
    arguments = parser.parse_args()
    with atomic_path(arguments.out) as temporary:
        cv2.imwrite(str(temporary), contact_sheet(arguments.folder), [cv2.IMWRITE_PNG_COMPRESSION, 9])
