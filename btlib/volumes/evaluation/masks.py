"""Masks from region probabilities: the only place that decides which voxels are tumour.

By default a region is where its probability exceeds one half. Post-processing may choose another threshold, remove
small connected components, as nnU-Net does (Isensee et al. 2021, Nature Methods), declare a small region absent, as
entries of BraTS do with enhancing tumour (Isensee et al. 2021, "nnU-Net for Brain Tumor Segmentation"), and remove
whole lesions that are small beside the largest.
"""

from pathlib import Path

import numpy as np
from pydantic import ValidationError
from scipy import ndimage

from btlib.core.runtime.artifacts import read_json
from btlib.core.runtime.errors import InputError
from btlib.core.runtime.mask_rules import Postprocessing, RegionRule
from btlib.core.runtime.network_files import wrong_keys
from btlib.volumes.data.conventions import LABELS
from btlib.volumes.data.store import Case, to_native

RULES_FILE = "postprocessing.json"
TOUCHING = ndimage.generate_binary_structure(3, 3)  # voxels that share a face, an edge or a corner
PLAIN = Postprocessing()


def masks_of(probabilities: np.ndarray, affine: np.ndarray, rules: Postprocessing) -> np.ndarray:
    """Nested masks of the regions.

    Regions are nested from the inside out, before and after removal: enhancing also counts as core, and core as whole
    tumour. So what is removed from the enhancing tumour stays core, and an outer region keeps what an inner one keeps,
    until small lesions go as a whole.

    Args:
        probabilities: [3, X, Y, Z] of wt, tc and et.
        affine: [4, 4] of that grid, in mm, for the volume of a voxel.

    Returns:
        bool [3, X, Y, Z], et within tc within wt.
    """
    size, masks = voxel_ml(affine), []
    found = kept = np.zeros(probabilities.shape[1:], bool)
    for probability, rule in zip(reversed(probabilities), (rules.et, rules.tc, rules.wt), strict=True):
        found = found | (probability > rule.threshold)
        kept = kept | _without_small(found, rule, size)
        masks.append(kept)
    return np.stack(masks[::-1]) & _without_small_lesions(kept, rules)


def tumor_of(probability: np.ndarray, affine: np.ndarray, rules: Postprocessing) -> np.ndarray:
    """The whole tumour bool [X, Y, Z] by itself, from its probability [X, Y, Z] on the grid of `affine`."""
    found = _without_small(probability > rules.wt.threshold, rules.wt, voxel_ml(affine))
    return _without_small_lesions(found, rules)


def labels_of(probabilities: np.ndarray, affine: np.ndarray, rules: Postprocessing) -> np.ndarray:
    """`masks_of` as labels uint8 [X, Y, Z]."""
    wt, tc, et = masks_of(probabilities, affine, rules)
    labels = np.zeros(wt.shape, np.uint8)
    labels[wt] = LABELS["edema"]
    labels[tc] = LABELS["necrotic_core"]
    labels[et] = LABELS["enhancing"]
    return labels


def native_labels(probabilities: np.ndarray, case: Case, rules: Postprocessing) -> np.ndarray:
    """Labels uint8 on the case's input grid; probabilities are resampled first, which keeps borders smooth."""
    return labels_of(to_native(probabilities, case), case.native_affine, rules)


def voxel_ml(affine: np.ndarray) -> float:
    """Volume of a voxel in ml: the determinant of the affine [4, 4], in mm³."""
    return float(abs(np.linalg.det(affine[:3, :3])) / 1000)


def read_rules(folder: Path) -> Postprocessing:
    """Reads RULES_FILE of stage evaluate_joint.

    Raises:
        InputError: the file is missing or damaged.
    """
    try:
        return Postprocessing.model_validate(read_json(folder / RULES_FILE))
    except ValidationError as error:
        raise InputError(f"{folder / RULES_FILE}: wrong: {wrong_keys(error)}; run `dvc repro evaluate_joint`") from None


def _without_small(mask: np.ndarray, rule: RegionRule, size: float) -> np.ndarray:
    """The mask without components, or without anything, below the rule's volumes; `size`: of a voxel in ml."""
    if rule.smallest_component_ml:
        mask = _without_small_components(mask, voxels=rule.smallest_component_ml / size)
    return mask if np.count_nonzero(mask) * size >= rule.smallest_region_ml else np.zeros_like(mask)


def _without_small_lesions(mask: np.ndarray, rules: Postprocessing) -> np.ndarray:
    return _without_small_components(mask, share=rules.smallest_lesion) if rules.smallest_lesion else mask


def _without_small_components(mask: np.ndarray, voxels: float = 0.0, share: float = 0.0) -> np.ndarray:
    """The mask without components of fewer voxels, or below a share of the largest.

    The largest stays: all of that size, whatever the order of the axes.
    """
    components, count = ndimage.label(mask, TOUCHING)
    if count < 2:
        return mask
    sizes = np.bincount(components.ravel())
    sizes[0] = 0  # the background
    return (sizes >= max(min(voxels, sizes.max()), share * sizes.max(), 1))[components]
