import nibabel as nib
import numpy as np
from nibabel.processing import resample_from_to
from numpy.testing import assert_allclose, assert_array_equal

from btlib.volumes.data.resample import onto_grid


def oblique(spacing, origin):
    turned = nib.eulerangles.euler2mat(0.1, 0.2, -0.15) @ np.diag(spacing)
    return nib.affines.from_matvec(turned, origin)


def test_same_grid_is_unchanged():
    values = np.random.default_rng(0).random((8, 9, 10), dtype=np.float32)
    affine = oblique((1, 1, 5.5), (3, 4, 5))
    assert_allclose(onto_grid(values, affine, values.shape, affine, order=1), values, atol=1e-5)


def test_flipped_grid_keeps_every_voxel_including_the_border():
    values = np.arange(8 * 9 * 10, dtype=np.float32).reshape(8, 9, 10)
    affine = np.diag([0.9, 0.9, 5.5, 1])
    flip = nib.affines.from_matvec(np.diag([-1, 1, -1]), [7, 0, 9])  # the same positions, counted from the other side
    turned = onto_grid(values, affine, values.shape, affine @ flip, order=1)
    assert_allclose(turned, values[::-1, :, ::-1], atol=1e-3)


def test_linear_function_is_preserved_on_any_grid():
    def millimeters(shape, affine):
        return np.tensordot(affine[:3, :3], np.indices(shape), 1) + affine[:3, 3].reshape(3, 1, 1, 1)

    source, target = np.diag([1.0, 1, 2, 1]), oblique((0.7, 0.8, 1.1), (5, 5, 6))
    slope = (2 * millimeters((24, 24, 14), source)[0]).astype(np.float32)
    assert_allclose(
        onto_grid(slope, source, (9, 9, 9), target, order=1), 2 * millimeters((9, 9, 9), target)[0], atol=1e-4
    )


def test_matches_nibabel():
    values = np.random.default_rng(1).random((12, 13, 9), dtype=np.float32)
    source, target = np.diag([1.0, 1.2, 3, 1]), oblique((0.8, 0.9, 2), (1, 2, 4))
    ours = onto_grid(values, source, (10, 10, 7), target, order=1)
    other = resample_from_to(nib.Nifti1Image(values, source), ((10, 10, 7), target), order=1).get_fdata()
    inside = other != 0  # nibabel drops to 0 at its border
    assert inside.mean() > 0.4
    assert_allclose(ours[inside], other[inside], atol=1e-5)


def test_labels_are_preserved_and_0_outside():
    seg = np.random.default_rng(2).integers(0, 4, (8, 8, 8)).astype(np.float32)
    moved = onto_grid(seg, np.eye(4), (16, 8, 8), np.diag([0.5, 1, 1, 1]), order=0)
    assert set(np.unique(moved)) <= {0, 1, 2, 3}
    assert_array_equal(moved[::2], seg)
    far = nib.affines.from_matvec(np.eye(3), [100, 0, 0])
    assert not onto_grid(seg, np.eye(4), (8, 8, 8), far, order=1).any()
