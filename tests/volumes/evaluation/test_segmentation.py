import itertools

import numpy as np
import pytest
import torch
from monai.metrics import compute_dice, compute_hausdorff_distance
from scipy.ndimage import gaussian_filter

from btlib.core.metrics.outlines import dice
from btlib.volumes.evaluation.segmentation import Outlined, hd95, segmentation_table


def blob(seed: int, shape=(24, 20, 16), share: float = 0.3) -> np.ndarray:
    """A few smooth blobs, some of which touch the border of the grid."""
    field = gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2)
    return field > np.quantile(field, 1 - share)


def box(start, stop, shape=(12, 12, 12)) -> np.ndarray:
    mask = np.zeros(shape, dtype=bool)
    mask[tuple(slice(*ends) for ends in zip(start, stop, strict=True))] = True
    return mask


def brute_force_hd95(first: np.ndarray, second: np.ndarray, spacing) -> float:
    """Straight from the definition: all distances between voxels with a neighbour outside."""

    def surface(mask):
        padded, steps = np.pad(mask, 1), [s for s in itertools.product((-1, 0, 1), repeat=3) if np.abs(s).sum() == 1]
        inner = [voxel for voxel in np.argwhere(padded) if all(padded[tuple(voxel + step)] for step in steps)]
        return np.array([v for v in np.argwhere(padded).tolist() if v not in [i.tolist() for i in inner]]) * spacing

    a, b = surface(first), surface(second)
    distances = np.sqrt(((a[:, None] - b[None]) ** 2).sum(axis=-1))
    return max(np.percentile(distances.min(axis=1), 95), np.percentile(distances.min(axis=0), 95))


def test_dice_by_hand():
    assert dice(box((0, 0, 0), (4, 4, 4)), box((0, 0, 2), (4, 4, 6))) == 0.5
    assert dice(box((0, 0, 0), (2, 2, 2)), box((4, 4, 4), (6, 6, 6))) == 0
    assert dice(blob(0), blob(0)) == 1


def test_the_distance_of_a_shifted_box_is_its_shift():
    still = box((2, 2, 2), (6, 6, 6))
    assert hd95(still, box((5, 2, 2), (9, 6, 6)), (2.0, 1.0, 1.0)) == 6
    assert hd95(still, box((2, 2, 5), (6, 6, 9)), (2.0, 1.0, 0.5)) == 1.5
    assert hd95(still, still, (1, 1, 1)) == 0


def test_a_hole_in_a_mask_has_a_surface():
    solid = box((1, 1, 1), (10, 10, 10))
    hollow = solid & ~box((5, 5, 5), (6, 6, 6))
    assert hd95(solid, hollow, (1, 1, 1)) == 0  # six voxels around the hole are less than 5 % of the surface
    hollow = solid & ~box((4, 4, 4), (7, 7, 7))
    assert hd95(solid, hollow, (1, 1, 1)) == 2  # the surface of this hole is 54 of 440 voxels


@pytest.mark.parametrize("seed", range(3))
def test_hd95_matches_all_pairs_of_surface_voxels(seed):
    first, second = blob(seed, (10, 9, 8)), blob(seed + 10, (10, 9, 8), share=0.15)
    spacing = (1.0, 1.5, 5.5)
    assert hd95(first, second, spacing) == pytest.approx(brute_force_hd95(first, second, spacing), rel=1e-12)
    assert hd95(first, second, spacing) == hd95(second, first, spacing)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_monai_agrees(seed):
    first, second, spacing = blob(seed), blob(seed + 10, share=0.2), (1.0, 0.8, 3.0)
    batch = [torch.from_numpy(mask)[None, None] for mask in (second, first)]
    reference = compute_hausdorff_distance(*batch, include_background=True, percentile=95, spacing=spacing)
    assert hd95(first, second, spacing) == pytest.approx(reference.item(), rel=1e-6)
    assert dice(first, second) == pytest.approx(compute_dice(*batch).item(), rel=1e-6)


def test_empty_masks_are_scored_as_in_brats():
    nothing, something = np.zeros((240, 240, 155), dtype=bool), box((3, 3, 3), (5, 5, 5), (240, 240, 155))
    assert dice(nothing, nothing) == 1 and hd95(nothing, nothing, (1, 1, 1)) == 0
    for pair in ((nothing, something), (something, nothing)):
        assert dice(*pair) == 0
        assert hd95(*pair, (1, 1, 1)) == pytest.approx(373.13, abs=0.005)
        assert hd95(*pair, (1, 1, 2)) == pytest.approx(np.sqrt(240**2 + 240**2 + 310**2))


def test_the_table_has_a_row_for_each_case_and_region():
    truth = np.stack([box((0, 0, 0), (10, 10, 10)), box((0, 0, 0), (5, 10, 10)), box((0, 0, 0), (0, 0, 0))])
    said = np.stack([box((0, 0, 0), (10, 10, 5)), box((0, 0, 0), (5, 10, 10)), box((0, 0, 0), (0, 0, 0))])
    first = Outlined("a", truth, said, truth, (1.0, 2.0, 5.0))
    table = segmentation_table(iter([first, Outlined("b", said, said, truth, (1, 1, 1))]))
    assert table.columns.tolist() == ["case", "region", "dice", "hd95", "truth_ml", "predicted_ml", "dice_raw"]
    assert table["case"].tolist() == ["a"] * 3 + ["b"] * 3 and table["region"].tolist() == ["wt", "tc", "et"] * 2
    # half of 1,000 voxels of 10 mm³ was found, and its far side is five slices of 5 mm away
    assert table.iloc[0, 2:].tolist() == pytest.approx([2 / 3, 25, 10, 5, 1])
    assert table.iloc[1, 2:].tolist() == [1, 0, 5, 5, 1]
    assert table.iloc[2, 2:].tolist() == [1, 0, 0, 0, 1]
    assert table.iloc[3, 2:].tolist() == pytest.approx([1, 0, 0.5, 0.5, 2 / 3])


def test_without_cases_the_table_has_its_columns():
    assert segmentation_table([]).columns.tolist()[:2] == ["case", "region"]
