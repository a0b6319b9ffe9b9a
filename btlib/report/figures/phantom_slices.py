"""Contact sheets of a phantom data set, one per class.

Run: python -m btlib.report.figures.phantom_slices data/raw/phantom docs/img
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from btlib.core.runtime.artifacts import atomic_path
from btlib.phantom.tumors import LABELS

ROWS, COLUMNS, SIDE = 3, 6, 128


def contact_sheet(folder: Path, table: pd.DataFrame, label: str) -> np.ndarray:
    """One slice of each of the first subjects of a class, planes in turn, [ROWS × SIDE, COLUMNS × SIDE] uint8."""
    rows = table[(table.label == label) & table.patient.notna()].groupby("patient", sort=True)
    picked = [group.iloc[number % len(group)].path for number, (_, group) in enumerate(rows)][: ROWS * COLUMNS]
    sheet = np.zeros((ROWS * SIDE, COLUMNS * SIDE), np.uint8)
    for number, path in enumerate(picked):
        image = cv2.imread(str(folder / path), cv2.IMREAD_GRAYSCALE)
        top, left = SIDE * (number // COLUMNS), SIDE * (number % COLUMNS)
        sheet[top : top + SIDE, left : left + SIDE] = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return sheet


def write_sheets(folder: Path, out: Path) -> list[Path]:
    """Writes `phantom_<class>.png` for every class; returns their paths."""
    table = pd.read_csv(folder / "subjects.csv")
    paths = [out / f"phantom_{label}.png" for label in LABELS]
    for label, path in zip(LABELS, paths, strict=True):
        with atomic_path(path) as temporary:
            cv2.imwrite(str(temporary), contact_sheet(folder, table, label))
    return paths


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="a phantom data set")
    parser.add_argument("out", type=Path, help="where the sheets go")
    arguments = parser.parse_args()
    for sheet_path in write_sheets(arguments.folder, arguments.out):
        print(sheet_path)
