"""Difficulty of grading: logistic regression on true volumes and mean intensities of the lesion.

No network and no learned segmentation, only a simple cross-validated model that knows the true segmentation. Works on
any folder in the BraTS 2020 layout.

Run: python benchmarks/phantom_grades.py data/raw/phantom_volumes
"""

import argparse
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import RepeatedStratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tqdm import tqdm

from btlib.phantom.contrasts import MODALITIES
from btlib.phantom.volume_set import COLUMNS, MAPPING

LABELS = {"necrotic_core": 1, "edema": 2, "enhancing": 4}


def features(folder: Path) -> dict[str, float]:
    """Volumes in ml of the labels and of the whole lesion, and the mean of each modality in the lesion.

    Means are z-scores relative to the rest of the brain.
    """
    images = {name: nib.load(folder / f"{folder.name}_{name}.nii.gz") for name in (*MODALITIES, "seg")}
    seg = np.asarray(images["seg"].dataobj)
    millilitres = np.abs(np.linalg.det(images["seg"].affine)) / 1000
    row = {name: (seg == label).sum() * millilitres for name, label in LABELS.items()} | {
        "whole": (seg > 0).sum() * millilitres
    }
    for name in MODALITIES:
        image = np.asarray(images[name].dataobj, float)
        rest = image[(image > 0) & (seg == 0)]
        row[name] = (image[seg > 0].mean() - rest.mean()) / rest.std()
    return row


def main(folder: Path) -> None:
    mapping = pd.read_csv(folder / MAPPING)
    table = pd.DataFrame([features(folder / name) for name in tqdm(mapping[COLUMNS[-1]], desc="cases", mininterval=1)])
    high = (mapping.Grade == "HGG").to_numpy()
    volumes = [*LABELS, "whole"]
    print(table[volumes].groupby(mapping.Grade).median().round(1).to_string())
    print(
        f"{(table.enhancing[~high] > 1).mean():.0%} of LGG have more, and {(table.enhancing[high] < 1).mean():.0%} of "
        "HGG less, than 1 ml of enhancing tumour"
    )
    table[volumes] = np.log1p(table[volumes])
    readers = {
        "whole volume": ["whole"],
        "volumes": list(LABELS),
        "intensities": list(MODALITIES),
        "both": [*LABELS, *MODALITIES],
    }
    reader = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    for name, columns in readers.items():
        folds = RepeatedStratifiedKFold(n_splits=5, n_repeats=10, random_state=0)
        scores = cross_val_score(reader, table[columns], high, cv=folds, scoring="roc_auc")
        print(f"{name:12} AUC {scores.mean():.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="output folder of stage phantom_volumes")
    main(parser.parse_args().folder)
