"""A contact sheet of the phantoms that the joint network trains on, as docs/phantom.md shows it.

Run: python -m benchmarks.phantom_sheet docs/img/training_volumes.png [--variety 1.0] [--seed 0]
"""

import argparse
import tempfile
from pathlib import Path

import cv2
import pandas as pd

from btlib.core.runtime.artifacts import atomic_path
from btlib.phantom.atlas import load_atlas
from btlib.phantom.varied_volumes import training_grade, training_volumes
from btlib.phantom.volume_set import COLUMNS, MAPPING, write_case
from btlib.report.figures.phantom_volumes import contact_sheet

CASES, SPACING = 6, 1.5


def write(folder: Path, seed: int, variety: float) -> None:
    """The first cases in the layout of BraTS 2020, for `contact_sheet`."""
    atlas, names = load_atlas(), [f"phantom_{number:05d}" for number in range(CASES)]
    for number, name in enumerate(names):
        write_case(folder / name, training_volumes(seed, number, SPACING, variety, atlas))
    grades = [training_grade(number) for number in range(CASES)]
    pd.DataFrame({COLUMNS[0]: grades, COLUMNS[-1]: names}).to_csv(folder / MAPPING, index=False)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="the picture, .png")
    parser.add_argument("--variety", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, atomic_path(arguments.out) as temporary:
        write(Path(folder), arguments.seed, arguments.variety)
        cv2.imwrite(str(temporary), contact_sheet(Path(folder)), [cv2.IMWRITE_PNG_COMPRESSION, 9])
