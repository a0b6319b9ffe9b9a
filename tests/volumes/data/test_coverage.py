import nibabel as nib
import numpy as np
import pytest
from numpy.testing import assert_allclose

from btlib.volumes.data.coverage import coverage
from btlib.volumes.data.volume import Volume

SHAPE = (60, 70, 50)
AFFINE = nib.affines.from_matvec(np.diag([-3.0, -3, 3]), [80, 90, -70])


def head() -> np.ndarray:
    """An ellipsoid of tissue, 180 × 210 × 150 mm minus a margin, with a different value in each voxel."""
    places = np.stack(np.meshgrid(*(np.linspace(-1.1, 1.1, side) for side in SHAPE), indexing="ij"))
    inside = (places**2).sum(axis=0) < 1
    return np.where(inside, np.random.default_rng(0).uniform(200, 900, SHAPE), 0).astype(np.float32)


def volumes(**changed) -> dict[str, Volume]:
    """Four complete scans, with some replaced by values, or values and affine."""
    found = {}
    for name in ("t1", "t1ce", "t2", "flair"):
        one = changed.get(name, head())
        values, affine = one if isinstance(one, tuple) else (one, AFFINE)
        found[name] = Volume(f"{name}.nii", values, affine, True)
    return found


def without(*slices) -> np.ndarray:
    values = head()
    values[slices] = 0
    return values


def share_left(values: np.ndarray) -> float:
    return np.count_nonzero(values) / np.count_nonzero(head())


def test_complete_scans_cover_everything():
    assert coverage(volumes()) == dict.fromkeys(("t1", "t1ce", "t2", "flair"), 1.0)


@pytest.mark.parametrize(
    "part",
    [
        without(..., slice(25, None)),  # the lower half
        without(..., slice(20, 30)),  # a gap
        without(..., slice(None, None, 2)),  # every second slice
        without(slice(0, 10)),
    ],
)
def test_slices_without_values_are_missing(part):
    found = coverage(volumes(flair=part))
    assert abs(found.pop("flair") - share_left(part)) < 0.01
    assert set(found.values()) == {1.0}


def test_oblique_slab():
    """Like a slab resampled to the grid of another scan."""
    tilted = nib.affines.apply_affine(AFFINE, np.moveaxis(np.indices(SHAPE), 0, -1)) @ [0.4, 0.3, 0.87]
    part = np.where(np.abs(tilted) < 35, head(), 0)
    assert abs(coverage(volumes(t2=part))["t2"] - share_left(part)) < 0.03


def test_slab_on_its_own_grid():
    """Ten slices of 5.5 mm with permuted axes: 55 of the 136 mm of brain."""
    affine = nib.affines.from_matvec([[0, 0, 3.0], [3, 0, 0], [0, 5.5, 0]], [-97, -117, -22])
    slab = np.full((70, 10, 60), 500, np.float32)
    found = coverage(volumes(flair=(slab, affine)))
    heights = AFFINE[2, 2] * np.arange(SHAPE[2]) + AFFINE[2, 3]
    assert_allclose(found["flair"], share_left(without(..., (heights < -24.75) | (heights > 30.25))), atol=0.01)


def test_three_slabs_do_not_outvote_the_complete_scan():
    slab = without(..., slice(25, None))
    found = coverage(volumes(t1ce=slab, t2=slab, flair=slab))
    assert found["t1"] == 1 and max(found[name] for name in ("t1ce", "t2", "flair")) < 0.55


def test_fluid_of_value_0_and_small_differences_at_the_rim_are_covered():
    hollow = head()
    hollow[25:35, 30:40, 20:30] = 0
    smaller = without(..., slice(0, 4))  # of the 45 slices with brain
    found = coverage(volumes(flair=hollow, t2=smaller))
    assert found["flair"] == 1
    assert 0.97 < found["t2"] < 1


def test_noise_in_the_air_is_not_tissue():
    noise = np.random.default_rng(1).uniform(1, 30, SHAPE).astype(np.float32)
    assert min(coverage(volumes(t1=np.maximum(head(), noise))).values()) == 1
