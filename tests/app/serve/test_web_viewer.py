"""Volumes for the viewer: small, in their original place."""

import base64
import gzip

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine

from btlib.app.serve import viewer
from btlib.app.serve.viewer import tumor_center, viewer_files

AFFINE = np.array([[-1.0, 0, 0, 90], [0, -1.5, 0, 100], [0, 0, 2, -50], [0, 0, 0, 1]])
SHAPE = (30, 32, 20)


def opened(text):
    return nib.Nifti1Image.from_bytes(gzip.decompress(base64.b64decode(text)))


def head():
    """10 … 19 along each axis, brighter to the right."""
    scan = np.zeros(SHAPE, np.float32)
    scan[10:20, 10:20, 10:20] = np.arange(100, 110)[:, None, None]
    return scan


def test_the_grid_is_cropped_to_the_head_and_stays_in_place():
    labels = np.zeros(SHAPE, np.uint8)
    labels[12, 13, 14] = 3
    files = viewer_files({"t1": head()}, labels, {"heat": None}, AFFINE)
    image = opened(files["overlays"]["segmentation"])
    assert image.shape == (16, 16, 13)  # a margin of 3 where there is room
    ((voxel,),) = [np.argwhere(np.asarray(image.dataobj))]
    assert np.asarray(image.dataobj)[tuple(voxel)] == 3
    np.testing.assert_allclose(apply_affine(image.affine, voxel), apply_affine(AFFINE, (12, 13, 14)))
    np.testing.assert_array_equal(opened(files["scans"]["t1"]).affine, image.affine)


def test_volumes_have_eight_bits():
    rising = np.ones(SHAPE)  # also outside the head, where nothing is shown
    rising[10:20, 10:20, 10:20] = np.linspace(-0.5, 1.5, 5).repeat(2)[:, None, None]
    files = viewer_files({"t1": head()}, None, {"heat": rising}, AFFINE)
    assert list(files["overlays"]) == ["heat"]
    scan, heat = (np.asarray(opened(text).dataobj) for text in (files["scans"]["t1"], files["overlays"]["heat"]))
    assert scan.dtype == heat.dtype == np.uint8
    assert scan[3:13, 8, 8].tolist() == [0, 28, 57, 85, 113, 142, 170, 198, 227, 255]  # nine steps of 28.3
    assert scan[0, 0, 0] == 0
    assert heat[3:13:2, 8, 8].tolist() == [0, 0, 128, 255, 255]
    assert (heat > 0).sum() == 6 * 10 * 10


def test_fine_grid_is_subsampled_in_place(monkeypatch):
    monkeypatch.setattr(viewer, "MAX_SIDE", 8)
    image = opened(viewer_files({"t1": head()}, None, {}, AFFINE)["scans"]["t1"])
    assert image.shape == (8, 8, 7)
    np.testing.assert_allclose(apply_affine(image.affine, (0, 0, 0)), apply_affine(AFFINE, (7, 7, 7)))
    np.testing.assert_allclose(apply_affine(image.affine, (3, 3, 3)), apply_affine(AFFINE, (13, 13, 13)))


def test_center_is_inside_the_tumor():
    """A ring around (10, 10), whose centroid is not tumour."""
    labels = np.zeros(SHAPE, np.uint8)
    labels[8:13, 8:13, 5] = 2
    labels[9:12, 9:12, 5] = 0
    center = tumor_center(labels, AFFINE)
    voxel = np.rint(apply_affine(np.linalg.inv(AFFINE), center)).astype(int)
    assert labels[tuple(voxel)] == 2
    assert sorted(abs(voxel - (10, 10, 5))) == [0, 0, 2]  # the nearest voxel of the ring


@pytest.mark.parametrize("labels", [None, np.zeros(SHAPE, np.uint8)])
def test_without_a_tumor_there_is_no_center(labels):
    assert tumor_center(labels, AFFINE) is None
