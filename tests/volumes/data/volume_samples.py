"""Tiny NIfTI cases in the layouts of the data sets."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd

SHAPE = (8, 9, 10)
AFFINE = np.diag([-1.0, -1, 1, 1])
OLD = ("_t1", "_t1ce", "_t2", "_flair", "_seg")
NEW = ("-t1n", "-t1c", "-t2w", "-t2f", "-seg")


def brain(key: int, shape=SHAPE) -> np.ndarray:
    """Distinct int16 [X, Y, Z]: positive in a central box, 0 around it."""
    inside = tuple(slice(1, side - 1) for side in shape)
    values = np.zeros(shape, np.int16)
    values[inside] = np.random.default_rng(key).integers(100, 1000, values[inside].shape)
    return values


def labels(numbers=(1, 2, 4), shape=SHAPE) -> np.ndarray:
    """uint8 [X, Y, Z], three voxels of each number along z."""
    values = np.zeros(shape, np.uint8)
    for place, number in enumerate(numbers):
        values[2 + place, 4, 2:5] = number
    return values


def save(path: Path, values: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(values, affine), path)
    return path


def make_case(folder: Path, key: int, names=OLD, numbers=(1, 2, 4), suffix=".nii.gz") -> Path:
    """A BraTS case in `folder`, named after it; without `numbers` there is no segmentation."""
    for place, name in enumerate(names):
        if name.endswith("seg"):
            if numbers:
                save(folder / f"{folder.name}{name}{suffix}", labels(numbers))
        else:
            save(folder / f"{folder.name}{name}{suffix}", brain(10 * key + place))
    return folder


def make_brats2020(root: Path, grades: str = "HLHL", **more) -> list[str]:
    """Cases with a name_mapping.csv; H is HGG, L is LGG, - is not in the table."""
    names = [f"BraTS20_Training_{number:03}" for number in range(1, len(grades) + 1)]
    for key, name in enumerate(names):
        make_case(root / name, key, **more)
    known = {"H": "HGG", "L": "LGG"}
    rows = [(known[grade], "NA", name) for grade, name in zip(grades, names, strict=True) if grade in known]
    table = pd.DataFrame(rows, columns=["Grade", "BraTS_2019_subject_ID", "BraTS_2020_subject_ID"])
    table.to_csv(root / "name_mapping.csv", index=False)
    return names


def make_msd(root: Path, names=("BRATS_001", "BRATS_002")) -> dict:
    """Volume k of a case's 4D file is brain(10 × case + k); returns dataset.json's content."""
    for key, name in enumerate(names):
        save(root / f"imagesTr/{name}.nii.gz", np.stack([brain(10 * key + k) for k in range(4)], axis=-1))
        save(root / f"labelsTr/{name}.nii.gz", labels((1, 2, 3)))
    content = {
        "modality": {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"},
        "labels": {"0": "background", "1": "edema", "2": "non-enhancing tumor", "3": "enhancing tumour"},
        "training": [{"image": f"./imagesTr/{n}.nii.gz", "label": f"./labelsTr/{n}.nii.gz"} for n in names],
        "test": ["./imagesTs/BRATS_485.nii.gz"],
    }
    (root / "dataset.json").write_text(json.dumps(content))
    return content


def write_table(root: Path, *rows: dict) -> None:
    """Writes cases.csv; missing cells of a row are empty."""
    columns = ["case", "t1", "t1ce", "t2", "flair", "seg", "grade", "patient"]
    root.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).reindex(columns=columns).to_csv(root / "cases.csv", index=False)
