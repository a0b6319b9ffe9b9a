"""Radiomics-like features of a tumour: what its masks and the intensities under them say in a row of numbers.

A small set in the spirit of the Image Biomarker Standardisation Initiative (Zwanenburg et al. 2020): volumes, shares,
shape and first-order statistics of each region; no texture.
"""

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import label

from btlib.volumes.data.conventions import LABELS, MODALITIES, REGIONS, regions_of


def tumor_features(image: np.ndarray, labels: np.ndarray, spacing: Sequence[float]) -> dict[str, float]:
    """The 36 features of one case, by name, always in the same order.

    For wt, tc and et: `<region>_ml`; `<region>_components`, pieces connected by faces; `<region>_sphericity`; and
    `<region>_<modality>_mean` and `_sd` of the z-scored intensities. Parts of the whole tumour's volume: `tc_share`,
    `et_share`, `necrosis_share`. A region without voxels has 0 everywhere: z-scored, that is the mean of the brain.

    Args:
        image: [4, X, Y, Z] in the order of MODALITIES, z-scored.
        labels: [X, Y, Z], canonical.
        spacing: mm between voxels along each axis.
    """
    masks = dict(zip(REGIONS, regions_of(labels), strict=True))
    found: dict[str, float] = {}
    for region, mask in masks.items():
        found |= {f"{region}_{name}": value for name, value in _shape(mask, spacing).items()}
        found |= {f"{region}_{name}": value for name, value in _intensities(image, mask).items()}
    parts = {"tc": masks["tc"], "et": masks["et"], "necrosis": labels == LABELS["necrotic_core"]}
    whole = max(1, np.count_nonzero(masks["wt"]))
    return found | {f"{name}_share": np.count_nonzero(part) / whole for name, part in parts.items()}


def sphericity(mask: np.ndarray, spacing: Sequence[float]) -> float:
    """π^⅓ (6 V)^⅔ / A, with the area A of the voxels' outer faces; 0 for an empty mask.

    A cube has 0.806. Faces overestimate a smooth surface (a ball tends to 2/3), so values can only be compared between
    masks on one grid.
    """
    area = 0.0
    for axis, side in enumerate(spacing):
        around = [(int(other == axis),) * 2 for other in range(3)]
        faces = np.count_nonzero(np.diff(np.pad(mask, around), axis=axis))
        area += faces * float(np.prod(spacing)) / side
    volume = np.count_nonzero(mask) * float(np.prod(spacing))
    return float(np.pi ** (1 / 3) * (6 * volume) ** (2 / 3) / area) if area else 0.0


def _shape(mask: np.ndarray, spacing: Sequence[float]) -> dict[str, float]:
    return {
        "ml": np.count_nonzero(mask) * float(np.prod(spacing)) / 1000,
        "components": float(label(mask)[1]),
        "sphericity": sphericity(mask, spacing),
    }


def _intensities(image: np.ndarray, mask: np.ndarray) -> dict[str, float]:
    """`<modality>_mean` and `<modality>_sd` (population) of the voxels of a mask."""
    voxels = image[:, mask].astype(np.float64) if mask.any() else np.zeros((len(image), 1))
    found: dict[str, float] = {}
    for name, values in zip(MODALITIES, voxels, strict=True):
        found |= {f"{name}_mean": float(values.mean()), f"{name}_sd": float(values.std())}
    return found
