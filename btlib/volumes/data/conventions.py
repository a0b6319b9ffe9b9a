"""Names and orders shared by all parts of the 3D study."""

import numpy as np

MODALITIES = ("t1", "t1ce", "t2", "flair")
GRADES = ("LGG", "HGG")
LABELS = {
    "background": 0,
    "necrotic_core": 1,
    "edema": 2,
    "enhancing": 3,
}  # necrotic_core includes non-enhancing tumour
# BraTS's nested regions: whole tumour, tumour core, enhancing tumour
REGIONS = {"wt": (1, 2, 3), "tc": (1, 3), "et": (3,)}
REGION_NAMES = {"wt": "whole tumour", "tc": "tumour core", "et": "enhancing tumour"}


def regions_of(seg: np.ndarray) -> np.ndarray:
    """Labels [...] to the three nested regions, bool [3, ...] in the order of REGIONS."""
    return np.stack([np.isin(seg, labels) for labels in REGIONS.values()])
