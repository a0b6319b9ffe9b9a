import gzip

import nibabel as nib
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from btlib.core.runtime.errors import InputError
from btlib.volumes.data.conventions import MODALITIES
from btlib.volumes.data.reading import grid_faults, header_remarks, is_nifti, on_one_grid, read_case, read_volumes
from tests.volumes.data.volume_samples import AFFINE, SHAPE, brain, labels, make_msd, save


@pytest.fixture
def row(tmp_path):
    """A manifest row for a case of five files in tmp_path."""
    for key, name in enumerate(MODALITIES):
        save(tmp_path / f"{name}.nii.gz", brain(key))
    save(tmp_path / "seg.nii.gz", labels())
    files = {name: f"{name}.nii.gz" for name in (*MODALITIES, "seg")}
    return {"case": "A", **files, "labels": "brats"}


def refusal(root, row, resample=False):
    with pytest.raises(InputError, match=r"^case A:\n") as caught:
        read_case(root, row, resample)
    return str(caught.value)


def test_images_labels_and_affine(tmp_path, row):
    images, seg, affine, _ = read_case(tmp_path, row, resample=False)
    assert (images.dtype, seg.dtype, affine.dtype) == (np.float32, np.uint8, np.float64)
    assert_array_equal(images, [brain(key) for key in range(4)])
    assert_array_equal(seg, np.where(labels() == 4, 3, labels()))
    assert_array_equal(affine, AFFINE)
    assert read_case(tmp_path, row | {"seg": ""}, resample=False)[1] is None


def test_equivalent_kinds_of_files(tmp_path, row):
    values = brain(0)
    save(tmp_path / "t1.nii", values)
    nib.save(nib.Nifti2Image(values.astype(np.float64), AFFINE), tmp_path / "second.nii.gz")
    save(tmp_path / "one_of_one.nii.gz", values[..., None])
    scaled = nib.Nifti1Image(values, AFFINE)
    scaled.header.set_slope_inter(1, 0)
    nib.save(scaled, tmp_path / "scaled.nii")
    for name in ("t1.nii", "second.nii.gz", "one_of_one.nii.gz", "scaled.nii"):
        images, *_ = read_case(tmp_path, row | {"t1": name}, resample=False)
        assert_array_equal(images[0], values, err_msg=name)


def test_volumes_of_a_4d_file_are_assigned_to_modalities(tmp_path):
    make_msd(tmp_path)
    channels = {"t1": 1, "t1ce": 2, "t2": 3, "flair": 0}
    row = {name: f"imagesTr/BRATS_002.nii.gz#{number}" for name, number in channels.items()}
    row |= {"case": "A", "seg": "labelsTr/BRATS_002.nii.gz", "labels": "msd"}
    images, seg, *_ = read_case(tmp_path, row, resample=False)
    assert_array_equal(images, [brain(11), brain(12), brain(13), brain(10)])
    assert [np.count_nonzero(seg == label) for label in (1, 2, 3)] == [3, 3, 3]
    assert seg[2, 4, 2] == 2, "the Decathlon's 1 is oedema"
    for path, message in {
        "imagesTr/BRATS_002.nii.gz#4": "no volume 4; the file has 4, counted from 0",
        "imagesTr/BRATS_002.nii.gz": "contains 4 volumes; name one of them, as in imagesTr/BRATS_002.nii.gz#0",
    }.items():
        assert f"{path}: {message}" in refusal(tmp_path, row | {"t2": path})


def test_a_truncated_file(tmp_path, row):
    whole = (tmp_path / "t2.nii.gz").read_bytes()
    for kept in (0, 30, len(whole) // 2, len(whole) - 1):
        (tmp_path / "t2.nii.gz").write_bytes(whole[:kept])
        assert "t2.nii.gz: not a valid NIfTI file (" in refusal(tmp_path, row), kept
    plain = gzip.decompress(whole)
    (tmp_path / "t2.nii").write_bytes(plain[:-1])
    assert "t2.nii: not a valid NIfTI file (" in refusal(tmp_path, row | {"t2": "t2.nii"})


def test_flipped_bit_is_detected_by_the_checksum(tmp_path, row):
    plain = gzip.decompress((tmp_path / "t1.nii.gz").read_bytes())
    packed = bytearray(gzip.compress(plain, compresslevel=0, mtime=0))  # stored uncompressed: any change decodes
    packed[1200] ^= 8
    (tmp_path / "t1.nii.gz").write_bytes(packed)
    assert "t1.nii.gz: not a valid NIfTI file (BadGzipFile: CRC check failed" in refusal(tmp_path, row)


def test_invalid_values(tmp_path, row):
    for name, value in {"t1": np.nan, "t1ce": np.inf}.items():
        values = brain(0).astype(np.float32)
        values[3, 3, 3:5] = value
        save(tmp_path / f"{name}.nii.gz", values)
    save(tmp_path / "t2.nii.gz", np.zeros(SHAPE, np.int16))
    save(tmp_path / "flair.nii.gz", np.full(SHAPE, 7, np.int16))
    message = refusal(tmp_path, row)
    assert "t1.nii.gz: 2 voxels are NaN or infinite; export the volume again" in message
    assert "t1ce.nii.gz: 2 voxels are NaN or infinite" in message
    assert "t2.nii.gz: blank, every voxel is 0; export it again or remove the case" in message
    assert "flair.nii.gz: blank, every voxel is 7" in message


def test_missing_files_and_files_outside_the_root(tmp_path, row):
    root = tmp_path / "root"
    save(root / "t1.nii.gz", brain(0))
    (root / "t1ce.nii.gz").symlink_to(tmp_path / "t1ce.nii.gz")
    (root / "flair.mha").write_bytes(b"x")
    changed = row | {"t2": "../t2.nii.gz", "flair": "flair.mha"}
    volumes, faults = read_volumes(root, changed)
    assert list(volumes) == ["t1"]
    assert [fault.split(" to /")[0] for fault in faults] == [
        "t1ce.nii.gz: leads out of its root folder",
        "../t2.nii.gz: leads out of its root folder",
        "flair.mha: not a NIfTI file (.nii or .nii.gz)",
        "seg.nii.gz: no such file (a dangling link, or moved since the scan)",
    ]


def test_nifti_extensions():
    assert all(map(is_nifti, ("a.nii", "a.nii.gz", "A.NII.GZ", "b.Nii")))
    assert not any(map(is_nifti, ("a.gz", "nii", "a.nii.gz.part", "a.nii.txt")))


def test_a_missing_modality(tmp_path, row):
    assert "case A: no t1ce volume; add the file, or remove the case" in refusal(tmp_path, row | {"t1ce": ""})


def shifted(x: float) -> np.ndarray:
    affine = AFFINE.copy()
    affine[0, 3] = x
    return affine


def test_another_grid_is_refused_or_resampled(tmp_path, row):
    wide, numbers = np.pad(brain(7), ((2, 2), (0, 0), (0, 0))), labels(shape=(12, 9, 10))
    save(tmp_path / "flair.nii.gz", wide, shifted(2))  # x points left: its third voxel is at t1ce's first
    save(tmp_path / "seg.nii.gz", numbers, shifted(2))
    message = refusal(tmp_path, row)
    assert message.count("not on the grid of") == 1
    for part in (
        "case A: not on the grid of t1ce.nii.gz: ",
        "flair.nii.gz (12×9×10 voxels, not 8×9×10; origin (2.0, 0.0, 0.0) mm, not (0.0, 0.0, 0.0)), seg.nii.gz (12×9×",
        "co-register and skull-strip the scans, as in BraTS (if only a header is wrong, ",
        "copy that of t1ce.nii.gz), or set volumes.resample: true to resample them by their headers alone",
    ):
        assert part in message
    images, seg, affine, _ = read_case(tmp_path, row, resample=True)
    assert_allclose(images, [brain(0), brain(1), brain(2), wide[2:10]], atol=1e-3)
    assert_array_equal(seg, np.where(numbers == 4, 3, numbers)[2:10])
    assert_array_equal(affine, AFFINE)


def test_grids_that_do_not_overlap(tmp_path, row):
    save(tmp_path / "t1.nii.gz", brain(0), shifted(300))
    with pytest.raises(InputError, match=r"t1\.nii\.gz: by the headers it does not overlap with t1ce\.nii\.gz"):
        read_case(tmp_path, row, resample=True)


def test_axes_missing_from_the_header(tmp_path, row):
    """Stated axes define no position: such a volume is compared with others of its grid, and never resampled."""
    for key, name in enumerate(MODALITIES):
        nib.save(nib.Nifti1Image(brain(key), None), tmp_path / f"{name}.nii.gz")
    row["seg"] = ""
    assert "t1.nii.gz: the header has no orientation (sform and qform have code 0)" in refusal(tmp_path, row)
    volumes, faults = read_volumes(tmp_path, row, "PSR")
    assert not faults and not grid_faults("A", volumes, resample=False)
    assert nib.aff2axcodes(volumes["t1"].affine) == ("P", "S", "R")
    assert header_remarks(volumes) == ["t1, t1ce, t2, flair: axes assumed to be PSR, as stated"]
    save(tmp_path / "t2.nii.gz", brain(2))
    volumes, _ = read_volumes(tmp_path, row, "PSR")
    assert grid_faults("A", volumes, resample=True) == [
        "t1ce.nii.gz: the header has no position; co-register the scans of A"
    ]


def test_contradictory_headers_add_remarks(tmp_path, row):
    twofold = nib.Nifti1Image(brain(0), AFFINE)
    twofold.set_qform(shifted(25), 1)
    nib.save(twofold, tmp_path / "t1.nii.gz")
    nib.save(twofold, tmp_path / "flair.nii.gz")
    volumes, faults = read_volumes(tmp_path, row)
    assert not faults
    assert header_remarks(volumes) == ["t1, flair: corners by sform and qform are 25.0 mm apart; sform is used"]
    assert_array_equal(volumes["t1"].affine, AFFINE)


def test_partial_scan_is_refused(tmp_path, row):
    """Only the lower half of the brain (voxels 1 to 8 along z) is left, with zeros above it or with fewer slices."""
    half = brain(3)
    half[:, :, 5:] = 0
    save(tmp_path / "flair.nii.gz", half)
    message = (
        r"^flair\.nii\.gz: covers only part of the others \(t1 100\.0%, t1ce 100\.0%, t2 100\.0%, flair 50\.0%\)"
        r", expected 95% of the brain in each; use scans of the whole brain"
    )
    with pytest.raises(InputError, match=message):
        read_case(tmp_path, row, resample=False)
    thick = np.zeros((8, 9, 8), np.int16)
    thick[1:-1, 1:-1, 1:3] = 500  # slices of 2 mm, the last ends at 5
    save(tmp_path / "flair.nii.gz", thick, np.diag([-1.0, -1, 2, 1]))
    with pytest.raises(InputError, match=message):
        read_case(tmp_path, row, resample=True)


def test_scans_with_skull_may_end_at_different_heights(tmp_path, row):
    """Only a remark, since the neck is not brain."""
    for key, name in enumerate(MODALITIES):
        save(tmp_path / f"{name}.nii.gz", brain(key) + 20)
    short = brain(3) + 20
    short[:, :, 5:] = 0
    save(tmp_path / "flair.nii.gz", short)
    volumes = on_one_grid(read_volumes(tmp_path, row)[0])
    (remark,) = header_remarks(volumes)
    assert remark.startswith("flair: covers only part of the others (t1 100.0%, ")
    assert read_case(tmp_path, row, resample=False)[0].shape == (4, *SHAPE)


def test_rounding_in_headers_does_not_change_the_grid(tmp_path, row):
    save(tmp_path / "t1.nii.gz", brain(0), shifted(1e-4))
    assert_array_equal(read_case(tmp_path, row, resample=False)[0][0], brain(0))
