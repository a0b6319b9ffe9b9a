"""Writes the phantom volumes in the layout of BraTS 2020."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import nibabel as nib
import pandas as pd

from btlib.core.runtime.artifacts import atomic_path
from btlib.core.runtime.reproducibility import keyed_rng
from btlib.core.runtime.workers import in_parallel
from btlib.phantom.atlas import Atlas, load_atlas
from btlib.phantom.contrasts import MODALITIES
from btlib.phantom.gliomas import GRADES
from btlib.phantom.varied_volumes import varied_volumes
from btlib.phantom.volumes import Volumes, make_volumes

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
    folder: Path,
    seed: int,
    cases: int,
    spacing: float,
    atlas: Atlas | None = None,
    workers: int | None = None,
    variety: float | None = None,
) -> pd.DataFrame:
    """Writes the data set to `folder` atomically; the bytes do not depend on `workers`.

    Each patient has a folder with T1, T1ce, T2, FLAIR and seg as .nii.gz; `name_mapping.csv` lists the grades. Adding
    cases does not change the first ones.

    Args:
        cases: number of patients; one of each consecutive pair is high-grade.
        spacing: side of the voxels in mm.
        variety: None: the gliomas and scanners of `make_volumes`; else those of `varied_volumes`.

    Returns:
        The table of `name_mapping.csv`.
    """
    atlas = atlas or load_atlas()
    make = make_volumes if variety is None else partial(varied_volumes, variety=variety)
    grades = case_grades(seed, cases)
    names = [f"{PREFIX}_{number:03d}" for number in range(1, cases + 1)]
    with atomic_path(folder) as temporary:
        temporary.mkdir()
        write = partial(_write_case, temporary, partial(make, spacing=spacing, atlas=atlas), seed)
        numbered = [(number, name, grade) for number, (name, grade) in enumerate(zip(names, grades, strict=True), 1)]
        for _ in in_parallel(write, numbered, "phantom volumes", "case", batch=1, jobs=workers):
            pass
        table = pd.DataFrame({COLUMNS[0]: grades, COLUMNS[-1]: names}, columns=COLUMNS)
        table.to_csv(temporary / MAPPING, index=False, na_rep="NA")
    return table


def case_grades(seed: int, cases: int) -> list[str]:
    """The grade of each case: both grades in every pair, in random order."""
    pairs = [keyed_rng(seed, "phantom grades", pair).permutation(GRADES) for pair in range((cases + 1) // 2)]
    return [str(grade) for pair in pairs for grade in pair][:cases]


def _write_case(root: Path, make: Callable[[int, str, int], Volumes], seed: int, of: tuple[int, str, str]) -> None:
    number, name, grade = of
    write_case(root / name, make(seed, grade, number))


def write_case(folder: Path, volumes: Volumes) -> None:
    """Writes one patient's volumes to `folder`, which must not exist, as `<folder>_<modality>.nii.gz`."""
    folder.mkdir()
    for modality, voxels in zip((*MODALITIES, "seg"), (*volumes.images, volumes.seg), strict=True):
        image = nib.Nifti1Image(voxels, volumes.affine)
        image.header.set_xyzt_units("mm")
        # nibabel leaves name and time out of the gzip header, so the same voxels give the same bytes.
        nib.save(image, folder / f"{folder.name}_{modality}.nii.gz")
