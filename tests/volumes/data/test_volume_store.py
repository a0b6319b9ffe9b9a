import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from scipy import ndimage

from btlib.core.runtime.artifacts import write_csv
from btlib.core.runtime.errors import InputError
from btlib.volumes.data.nifti import read_nifti
from btlib.volumes.data.record import layout
from btlib.volumes.data.store import Case, load_case, load_index, save_case, to_native, write_nifti
from btlib.volumes.data.volume import Header

TILT = nib.eulerangles.euler2mat(0.2, 0.1, -0.3)
NATIVE_AFFINES = {
    "RAS": np.diag([2.0, 2, 2]),
    "LPS": np.diag([-1.0, -1, 1]),
    "sagittal slices": np.array([[0, 0, 5.5], [-1, 0, 0], [0, -1, 0]]),
    "oblique": TILT @ np.array([[0, -1.2, 0], [1, 0, 0], [0, 0, -4]]),
}


def a_case(native="LPS", seg=True):
    """A case whose normalised grid has the native axes in RAS, as from `normalize`."""
    rng = np.random.default_rng(0)
    native_affine = nib.affines.from_matvec(NATIVE_AFFINES[native], [30, -20, 10])
    image = nib.as_closest_canonical(nib.Nifti1Image(np.zeros((13, 12, 10), np.uint8), native_affine))
    zoom = 1.5 / nib.affines.voxel_sizes(image.affine)
    affine = image.affine @ nib.affines.from_matvec(np.diag(zoom), [1.0, 2.0, 0.5])
    return Case(
        name="case_1",
        image=rng.normal(size=(4, 7, 6, 8)).astype(np.float16),
        seg=rng.integers(0, 4, (7, 6, 8), dtype=np.uint8) if seg else None,
        affine=affine,
        native_affine=native_affine,
        native_shape=(13, 12, 10),
    )


@pytest.mark.parametrize("seg", [True, False])
def test_case_round_trip(tmp_path, seg):
    case = a_case(seg=seg)
    save_case(tmp_path / "case_1.npy", case)
    loaded = load_case(tmp_path, "case_1")
    assert (loaded.name, loaded.native_shape) == ("case_1", (13, 12, 10))
    assert (loaded.image.dtype, loaded.affine.dtype) == (np.float16, np.float64)
    assert (loaded.seg is not None) == seg
    for key in ("image", "affine", "native_affine", *(["seg"] if seg else [])):
        assert np.array_equal(getattr(loaded, key), getattr(case, key))
    assert loaded.native_header is None
    first = (tmp_path / "case_1.npy").read_bytes()
    save_case(tmp_path / "case_1.npy", case)
    assert (tmp_path / "case_1.npy").read_bytes() == first


def test_both_forms_of_the_header_round_trip(tmp_path):
    header = Header(np.diag([1.0, 2, 3, 1]), 2, np.diag([3.0, 2, 1, 1]), 1)
    save_case(tmp_path / "case_1.npy", a_case()._replace(native_header=header))
    loaded = load_case(tmp_path, "case_1").native_header
    assert (loaded.sform_code, loaded.qform_code) == (2, 1)
    assert np.array_equal(loaded.sform, header.sform) and np.array_equal(loaded.qform, header.qform)


def test_missing_case(tmp_path):
    with pytest.raises(InputError, match=r"nobody\.npy: no such file; run `dvc repro`"):
        load_case(tmp_path, "nobody")


NOT_VALID = r"case_1\.npy: not a valid normalised case \(.*\); recreate it: `dvc repro -f -s normalize_volumes`"


@pytest.mark.parametrize("kept", [0, 10, 500, 0.5, 0.99])
def test_damaged_case(tmp_path, kept):
    path = tmp_path / "case_1.npy"
    save_case(path, a_case())
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole)) if kept < 1 else kept])
    with pytest.raises(InputError, match=NOT_VALID):
        load_case(tmp_path, "case_1")


@pytest.mark.parametrize("place", [0, 6, 60, 0.0, 0.01, 0.5, 1.0])  # up to 60 in the header, then shares of the content
def test_flipped_byte_is_detected(tmp_path, place):
    path = tmp_path / "case_1.npy"
    save_case(path, a_case())
    content = bytearray(path.read_bytes())
    start = content.index(b"\n") + 1
    content[place if isinstance(place, int) else start + int(place * (len(content) - start - 1))] ^= 0x01
    path.write_bytes(content)
    with pytest.raises(InputError, match=NOT_VALID):
        load_case(tmp_path, "case_1")


def test_voxels_stay_on_disk_and_changes_to_them_in_memory(tmp_path):
    path = tmp_path / "case_1.npy"
    save_case(path, a_case())
    before = path.read_bytes()
    path.chmod(0o444)  # as DVC's links to its cache are
    loaded = load_case(tmp_path, "case_1")
    assert isinstance(loaded.image.base, np.memmap) and isinstance(loaded.seg.base, np.memmap)
    loaded.image[:] = 1
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(3), "expected one record with an image"),
        (np.zeros((), [("image", "<f2", (4, 2, 2, 2))]), "checksum: missing, expected"),
        (np.zeros(2, layout((2, 2, 2), segmented=True, has_forms=False)), "expected one record with an image"),
        (np.zeros((), [*layout((2, 2, 2), True, False).descr, ("more", "u1")]), "arrays checksum, .*more, expected"),
    ],
)
def test_other_arrays_are_refused(tmp_path, array, message):
    np.save(tmp_path / "other.npy", array)
    with pytest.raises(InputError, match=rf"other\.npy: not a valid normalised case \(ValueError: .*{message}"):
        load_case(tmp_path, "other")


def test_pickles_are_refused(tmp_path):
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match=r"objects\.npy: not a valid normalised case \(ValueError: .*Python object"):
        load_case(tmp_path, "objects")


def test_index_keeps_unknown_grades_as_empty_text(tmp_path):
    table = pd.DataFrame(
        {"case": ["007", "b"], "patient": ["007", "p"], "grade": ["", "LGG"], "has_seg": [True, False]}
    )
    write_csv(tmp_path / "index.csv", table)
    pd.testing.assert_frame_equal(load_index(tmp_path), table)
    with pytest.raises(InputError, match=r"index\.csv: no such file"):
        load_index(tmp_path / "elsewhere")


@pytest.mark.parametrize("native", NATIVE_AFFINES)
def test_to_native_interpolates_at_the_same_positions(native):
    case = a_case(native)
    maps = np.random.default_rng(3).normal(size=(2, 7, 6, 8)).astype(np.float32)
    matrix = np.linalg.inv(case.affine) @ case.native_affine
    found = to_native(maps, case)
    assert (found.shape, found.dtype) == ((2, 13, 12, 10), np.float32)
    for one, other in zip(found, maps, strict=True):
        expected = ndimage.affine_transform(
            other, matrix, output_shape=case.native_shape, order=1, mode="grid-constant"
        )
        np.testing.assert_allclose(one, expected, atol=1e-5)


def test_nearest_voxel_keeps_labels():
    case = a_case("oblique")
    labels = to_native(case.seg[None], case, order=0)
    assert set(np.unique(labels)) == {0, 1, 2, 3}
    mask = to_native((case.seg == 3)[None].astype(np.float32), case, order=0)
    assert np.array_equal(mask == 1, labels == 3)


def test_maps_are_0_outside_the_box():
    case = a_case("RAS")
    native = to_native(np.ones((1, 7, 6, 8)), case)[0]
    voxels = np.indices(case.native_shape).reshape(3, -1).T
    places = nib.affines.apply_affine(np.linalg.inv(case.affine) @ case.native_affine, voxels)
    size = np.array([7, 6, 8])
    inside = ((places >= 0) & (places <= size - 1)).all(axis=1)
    far = ((places <= -1) | (places >= size)).any(axis=1)
    np.testing.assert_allclose(native.ravel()[inside], 1, rtol=1e-5)
    assert inside.sum() == 5 * 4 * 5
    assert far.any()
    assert not native.ravel()[far].any()


@pytest.mark.parametrize("native", NATIVE_AFFINES)
def test_nifti_has_the_input_grid_and_no_text(tmp_path, native):
    case = a_case(native)
    mask = np.random.default_rng(0).random(case.native_shape) > 0.5
    write_nifti(tmp_path / "case_1_mask.nii.gz", mask, case)
    write_nifti(tmp_path / "case_1_map.nii.gz", mask.astype(np.float64) / 3, case)
    mask_image, map_image = (nib.load(tmp_path / f"case_1_{name}.nii.gz") for name in ("mask", "map"))
    assert np.array_equal(np.asarray(mask_image.dataobj), mask)
    np.testing.assert_allclose(np.asarray(map_image.dataobj), mask / 3, rtol=1e-6)
    assert (mask_image.get_data_dtype(), map_image.get_data_dtype()) == (np.uint8, np.float32)
    for image in (mask_image, map_image):
        np.testing.assert_allclose(image.affine, case.native_affine, rtol=1e-6)
        assert image.header.get_xyzt_units()[0] == "mm"
        words = [image.header[key].item() for key in ("descrip", "aux_file", "intent_name", "db_name")]
        assert b"".join(words) == b""
        assert len(image.header.extensions) == 0


def scan_of(path, affine, sform_code, qform_code, shift=0.0):
    """A scan of 13×12×10 voxels as a NIfTI file; its qform is `shift` mm off its sform."""
    image = nib.Nifti1Image(np.zeros((13, 12, 10), np.int16), affine)
    image.set_sform(affine, sform_code)
    image.set_qform(nib.affines.from_matvec(np.eye(3), [0, shift, 0]) @ affine, qform_code)
    nib.save(image, path)


def shown_at(path):
    """Position of an image in ITK, hence in ITK-SNAP and Slicer."""
    image = sitk.ReadImage(str(path))
    return [*image.GetOrigin(), *image.GetSpacing(), *image.GetDirection()]


@pytest.mark.parametrize("native", NATIVE_AFFINES)
@pytest.mark.parametrize(
    ("sform_code", "qform_code", "shift"), [(2, 0, 0), (0, 1, 0), (1, 1, 0), (2, 1, 25), (1, 4, 25), (0, 0, 0)]
)
def test_mask_and_scan_have_the_same_position_in_every_program(tmp_path, native, sform_code, qform_code, shift):
    case = a_case(native)
    scan, mask = tmp_path / "scan.nii.gz", tmp_path / "mask.nii.gz"
    scan_of(scan, case.native_affine, sform_code, qform_code, shift)
    header = read_nifti(scan, "scan.nii.gz", "RAS").header
    write_nifti(mask, np.ones((13, 12, 10), bool), case._replace(native_header=header))
    np.testing.assert_allclose(shown_at(mask), shown_at(scan), atol=1e-5)
    ours, theirs = nib.load(mask), nib.load(scan)
    np.testing.assert_allclose(ours.affine, theirs.affine, atol=1e-5)
    for form in ("get_sform", "get_qform"):
        (found, code), (expected, expected_code) = (getattr(one, form)(coded=True) for one in (ours, theirs))
        assert code == expected_code
        assert (found is None) == (expected is None)
        if code:
            np.testing.assert_allclose(found, expected, atol=1e-5)


def test_mask_of_a_dicom_study_has_both_forms(tmp_path):
    """ITK's axes point left and back, as in DICOM."""
    case = a_case("LPS")
    write_nifti(tmp_path / "mask.nii.gz", np.ones((13, 12, 10), bool), case)
    image = nib.load(tmp_path / "mask.nii.gz")
    for matrix, code in (image.get_sform(coded=True), image.get_qform(coded=True)):
        assert code == 1
        np.testing.assert_allclose(matrix, case.native_affine, atol=1e-6)
    np.testing.assert_allclose(
        shown_at(tmp_path / "mask.nii.gz"), [-30, 20, 10, 1, 1, 1, *np.eye(3).ravel()], atol=1e-6
    )


def test_same_map_gives_the_same_bytes(tmp_path):
    case = a_case()
    written = []
    for folder in ("a", "b"):
        write_nifti(tmp_path / folder / "map.nii.gz", np.ones(case.native_shape), case)
        written.append((tmp_path / folder / "map.nii.gz").read_bytes())
    assert written[0] == written[1]


def test_map_on_the_wrong_grid_is_a_bug(tmp_path):
    with pytest.raises(ValueError, match=r"map\.nii: \(7, 6, 8\) voxels are not the input grid of case_1"):
        write_nifti(tmp_path / "map.nii", np.zeros((7, 6, 8)), a_case())
    assert list(tmp_path.iterdir()) == []
