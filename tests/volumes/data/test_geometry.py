import itertools

import nibabel as nib
import numpy as np
import pytest
import torch
from scipy import ndimage

from btlib.volumes.data.geometry import (
    axis_weights,
    bounding_box,
    cropped,
    from_ras,
    isotropic,
    resampled,
    to_ras,
)

OBLIQUE = nib.eulerangles.euler2mat(0.3, -0.2, 0.25)


def signed_permutations():
    """All 48 possible orientations of a volume's axes."""
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            yield np.eye(3)[:, order] * signs


@pytest.mark.parametrize("tilt", [np.eye(3), OBLIQUE], ids=["straight", "oblique"])
def test_ras_is_nibabels_closest_canonical_grid(tilt):
    volumes = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32)
    for axes in signed_permutations():
        affine = nib.affines.from_matvec(tilt @ axes @ np.diag([1, 2, 5.5]), [7, -8, 9])
        turned, new_affine = to_ras(volumes, affine)
        for volume, expected in zip(turned, volumes, strict=True):
            reference = nib.as_closest_canonical(nib.Nifti1Image(expected, affine))
            assert np.array_equal(volume, reference.get_fdata())
            np.testing.assert_allclose(new_affine, reference.affine, atol=1e-5)
        assert nib.aff2axcodes(new_affine) == ("R", "A", "S")
        assert np.array_equal(from_ras(turned, affine), volumes)


def test_bounding_box_and_affine_of_the_crop():
    mask = np.zeros((6, 5, 4), bool)
    mask[2, 1, 3] = mask[4, 1, 0] = True
    box = bounding_box(mask)
    assert box == (slice(2, 5), slice(1, 2), slice(0, 4))
    affine = nib.affines.from_matvec(np.diag([-2, 3, 4]), [10, 20, 30])
    # voxel (0, 0, 0) of the part is voxel (2, 1, 0) of the whole
    assert np.array_equal(cropped(affine, box)[:3, 3], [10 - 4, 20 + 3, 30])


def test_isotropic_grid_by_hand():
    affine = nib.affines.from_matvec(np.diag([1.0, 1.0, 5.5]), [0, 0, 100])
    centers, ratio, new_affine = isotropic((31, 32, 4), affine, 3.0)
    assert np.array_equal(centers[0], 3 * np.arange(11))  # 31 mm need 11 voxels of 3 mm
    assert np.array_equal(centers[1], 0.5 + 3 * np.arange(11))  # 32 mm too, with the same centre
    assert len(centers[2]) == 8  # 22 mm need 8
    np.testing.assert_allclose(centers[2], 1.5 + (np.arange(8) - 3.5) * 3 / 5.5)
    np.testing.assert_allclose(ratio, [3, 3, 3 / 5.5])
    np.testing.assert_allclose(nib.affines.voxel_sizes(new_affine), 3.0)
    for voxel in ((0, 0, 0), (10, 5, 7)):
        old = [axis[index] for axis, index in zip(centers, voxel, strict=True)]
        np.testing.assert_allclose(new_affine @ [*voxel, 1], affine @ [*old, 1])


def test_rounding_in_an_affine_adds_no_voxel():
    centers, _, _ = isotropic((40, 40, 40), np.diag([1.0000001, 1.0, 0.9999999, 1.0]), 1.0)
    assert [len(axis) for axis in centers] == [40, 40, 40]


def test_same_spacing_copies():
    centers, ratio, _ = isotropic((7, 7, 7), np.eye(4), 1.0)
    assert np.array_equal(axis_weights(centers[0], 7, ratio[0]), np.eye(7))


def test_weights_by_hand():
    # the triangle of half-width 2 around 0.5 gives 0.75, 0.75, 0.25
    expected = np.array([[3, 3, 1, 0], [0, 1, 3, 3]]) / 7
    np.testing.assert_allclose(axis_weights(np.array([0.5, 2.5]), 4, 2.0), expected, rtol=1e-6)
    # without smoothing it is linear interpolation, which decays beyond the outermost centre
    expected = [[0.5, 0, 0], [0.75, 0.25, 0], [0, 0, 0]]
    np.testing.assert_allclose(axis_weights(np.array([-0.5, 0.25, 3.0]), 3), expected)


@pytest.mark.parametrize(("size", "count"), [(30, 10), (30, 20), (24, 6)])
def test_smoothing_matches_pytorchs_antialiasing(size, count):
    row = torch.from_numpy(np.random.default_rng(1).normal(size=(1, 1, 1, size)))
    expected = torch.nn.functional.interpolate(row, (1, count), mode="bilinear", antialias=True)[0, 0, 0]
    centers, ratio, _ = isotropic((size, 1, 1), np.eye(4), size / count)
    found = axis_weights(centers[0], size, ratio[0]) @ row[0, 0, 0].numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_three_products_match_scipys_trilinear_interpolation():
    volume = np.random.default_rng(2).normal(size=(9, 7, 8)).astype(np.float32)
    shift, scale, shape = np.array([0.4, -1.3, 2.5]), np.array([0.7, 1.1, 0.5]), (11, 10, 12)
    expected = ndimage.affine_transform(volume, scale, shift, output_shape=shape, order=1, mode="grid-constant")
    centers = [start + step * np.arange(count) for start, step, count in zip(shift, scale, shape, strict=True)]
    weights = [axis_weights(axis, size) for axis, size in zip(centers, volume.shape, strict=True)]
    np.testing.assert_allclose(resampled(volume, weights), expected, atol=1e-5)
