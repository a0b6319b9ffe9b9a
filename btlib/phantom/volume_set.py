"""The phantom volumes on disk, in the folder form of BraTS 2020."""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from tqdm import tqdm

from btlib.artifacts import atomic_path
from btlib.phantom.atlas import Atlas, load_atlas
from btlib.phantom.contrasts import MODALITIES
from btlib.phantom.gliomas import GRADES
from btlib.phantom.volumes import make_volumes
from btlib.reproducibility import keyed_rng

WORKERS = 2
PREFIX = "BraTS20_Training"
MAPPING = "name_mapping.csv"
COLUMNS = (
    "Grade",
    "BraTS_2017_subject_ID",
    "BraTS_2018_subject_ID",
    "TCGA_TCIA_subject_ID",
    "BraTS_2019_subject_ID",
    "BraTS_2020_subject_ID",
)


def write_volume_set(
    folder: Path, seed: int, cases: int, spacing: float, atlas: Atlas | None = None, workers: int = WORKERS
) -> pd.DataFrame:
    """Makes the whole set in `folder`, or leaves it as it was; the bytes do not depend on `workers`.

    Each patient has a folder with T1, T1ce, T2, FLAIR and seg as .nii.gz; `name_mapping.csv` gives the grades. More
    cases leave the first ones as they were.

    Args:
        cases: how many patients; of each two that follow one another one is high-grade.
        spacing: side of the voxels in mm.

    Returns:
        The table of `name_mapping.csv`.
    """
    grades = case_grades(seed, cases)
    names = [f"{PREFIX}_{number:03d}" for number in range(1, cases + 1)]
    with atomic_path(folder) as temporary:
        jobs = [(temporary / name, grade, number) for number, (name, grade) in enumerate(zip(names, grades, strict=True))]
        temporary.mkdir()
        done = _written(jobs, seed, spacing, atlas, workers)
        for _ in tqdm(done, total=cases, desc="phantom volumes", mininterval=1):
            pass
        table = pd.DataFrame({"Grade": grades, "BraTS_2020_subject_ID": names}).reindex(columns=COLUMNS)
        table.to_csv(temporary / MAPPING, index=False, na_rep="NA")
    return table


def case_grades(seed: int, cases: int) -> list[str]:
    """The grade of each case: both grades in every pair, in a drawn order."""
    pairs = [keyed_rng(seed, "phantom grades", pair).permutation(GRADES) for pair in range((cases + 1) // 2)]
    return [str(grade) for pair in pairs for grade in pair][:cases]


def write_case(job: tuple[Path, str, int], seed: int, spacing: float, atlas: Atlas) -> None:
    ...
