"""DICOM series to volumes: voxel positions, modalities, and refusals."""

import nibabel as nib
import numpy as np
import pydicom
import pytest
from monai.data import PydicomReader
from nibabel.affines import apply_affine, from_matvec
from pydicom import Dataset
from pydicom.uid import JPEGLSLossless, MediaStorageDirectoryStorage, generate_uid

from btlib.app.scans.dicom_files import headers
from btlib.app.scans.dicom_study import stacked
from btlib.app.scans.scans import InputCase
from btlib.app.scans.series import series_of
from btlib.core.runtime.errors import InputError
from tests.app.joint_make import SECRET, SHAPE, TILTED, brain, write_modality, write_series, write_study

# columns: offsets to the next column, row and slice, in mm RAS
AXIAL = from_matvec([[-0.9, 0, 0], [0, -1.1, 0], [0, 0, 5]], (90, 110, -40))
SAGITTAL = from_matvec([[0, 0, -1.2], [-0.9, 0, 0], [0, -1.1, 0]], (80, 100, 90))
PLANES = {"axial": AXIAL, "sagittal": SAGITTAL, "oblique": TILTED}


def somewhere(affine):
    """int16 [10, 12, 9]: 4 mm⁻¹ to the right, 5 to the front, 7 upwards, so that values encode positions."""
    places = apply_affine(affine, np.moveaxis(np.indices((10, 12, 9)), 0, -1))
    return np.rint(places @ [4, 5, 7]).astype(np.int16)


def read_study(folder, names=None):
    """The volumes of all series in a folder, across studies, and the faults."""
    try:
        series, _ = series_of(headers(folder, names or sorted(path.name for path in folder.iterdir())))
    except InputError as error:
        return {}, [str(error)]
    return InputCase("s", folder, tuple(series), {}).read()


def read_series(folder):
    return stacked(folder, headers(folder, sorted(path.name for path in folder.iterdir())))


@pytest.mark.parametrize("plane", PLANES)
def test_voxel_positions_match_the_scanner(tmp_path, plane):
    write_series(tmp_path, somewhere(PLANES[plane]), PLANES[plane], generate_uid(), "T1")
    volume = read_series(tmp_path)
    assert volume.values.shape == (10, 12, 9) and volume.values.dtype == np.float32 and volume.positioned
    np.testing.assert_allclose(nib.affines.voxel_sizes(volume.affine), nib.affines.voxel_sizes(PLANES[plane]))
    np.testing.assert_array_equal(volume.values, somewhere(volume.affine))


@pytest.mark.parametrize("plane", PLANES)
def test_monai_reads_the_same(tmp_path, plane):
    write_series(tmp_path, somewhere(PLANES[plane]), PLANES[plane], generate_uid(), "T1")
    volume = read_series(tmp_path)
    reader = PydicomReader()
    values, meta = reader.get_data(reader.read(str(tmp_path)))  # in the order of the slices' numbers
    mine = nib.as_closest_canonical(nib.Nifti1Image(volume.values, volume.affine))
    theirs = nib.as_closest_canonical(nib.Nifti1Image(values.astype(np.float32), meta["affine"]))
    np.testing.assert_array_equal(mine.get_fdata(), theirs.get_fdata())
    np.testing.assert_allclose(mine.affine, theirs.affine, atol=1e-6)


def test_the_scanners_scaling_is_applied(tmp_path):
    write_series(tmp_path, somewhere(AXIAL), AXIAL, generate_uid(), "T1", RescaleSlope=0.5, RescaleIntercept=-3)
    np.testing.assert_array_equal(read_series(tmp_path).values, somewhere(AXIAL) * np.float32(0.5) - 3)


def test_study_gives_four_volumes_in_any_file_order(tmp_path):
    write_study(tmp_path, key=3)
    names = sorted(path.name for path in tmp_path.iterdir())
    volumes, faults = read_study(tmp_path, names)
    again, _ = read_study(tmp_path, names[::-1])
    assert faults == []
    for number, name in enumerate(("t1", "t1ce", "t2", "flair")):
        there = nib.as_closest_canonical(nib.Nifti1Image(volumes[name].values, volumes[name].affine))
        true = nib.as_closest_canonical(nib.Nifti1Image(brain(3)[number], TILTED))
        np.testing.assert_array_equal(there.get_fdata(), true.get_fdata())
        np.testing.assert_allclose(there.affine, true.affine, atol=1e-6)
        np.testing.assert_array_equal(volumes[name].values, again[name].values)


def refused(folder):
    """The faults of the study in a folder, checked to contain nothing about the patient."""
    _, faults = read_study(folder)
    text = "\n".join(faults)
    assert text and "DOE" not in text
    return text


def test_a_missing_series_is_named(tmp_path):
    write_study(tmp_path, without=("flair",))
    text = refused(tmp_path)
    assert "found 1 of t1, 1 of t1ce, 1 of t2, 0 of flair" in text
    assert (
        "and 11 more: t1ce (its description and its times say T1 with contrast; its tags mention an agent; Echo" in text
    )


def test_two_series_of_one_modality_are_refused(tmp_path):
    write_study(tmp_path)
    write_modality(tmp_path, brain(9)[1], AXIAL, generate_uid(), "t1ce")
    assert "found 1 of t1, 2 of t1ce, 1 of t2, 1 of flair" in refused(tmp_path)


def test_scouts_and_other_kinds_are_ignored(tmp_path):
    write_study(tmp_path)
    write_series(tmp_path, brain(9)[0][:, :, :3], AXIAL, generate_uid(), "T1 3 slices")
    write_series(tmp_path, brain(9)[0], AXIAL, generate_uid(), "ADC")
    write_series(tmp_path, brain(9)[0], AXIAL, generate_uid(), "T1", Modality="CT")
    (tmp_path / "report.txt").write_text("T1")
    volumes, faults = read_study(tmp_path)
    assert faults == [] and set(volumes) == {"t1", "t1ce", "t2", "flair"}


def test_echoes_of_one_series_are_separated(tmp_path):
    write_study(tmp_path, without=("t2",))
    series = generate_uid()
    for echo, values in ((20, brain(8)[2]), (100, brain(9)[2])):
        times = {"EchoTime": echo, "RepetitionTime": 4000, "SeriesInstanceUID": series}
        write_series(tmp_path, values, TILTED, generate_uid(), f"DUAL ECHO {echo}", **times)
    volumes, faults = read_study(tmp_path)
    assert faults == []
    assert np.sort(volumes["t2"].values, axis=None).tolist() == np.sort(brain(9)[2], axis=None).tolist()


def with_flair(folder, change):
    """A study whose FLAIR files were modified by `change`."""
    write_study(folder, without=("flair",))
    change(write_modality(folder, brain(0)[3], TILTED, generate_uid(), "flair"))


def edited(path, **tags):
    image = pydicom.dcmread(path)
    for name, value in tags.items():
        setattr(image, name, value)
    image.save_as(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda files: by_number(files)[5].unlink(),
            "11 slices numbered 1 to 12, so 1 are missing",
        ),
        (lambda files: edited(by_number(files)[5], ImagePositionPatient=[0, 0, 0]), "expected even steps"),
        (
            lambda files: edited(
                by_number(files)[5], ImagePositionPatient=pydicom.dcmread(by_number(files)[4]).ImagePositionPatient
            ),
            r"lie 0\.00 to 6\.00 mm apart",
        ),
        (lambda files: edited(files[0], ImageOrientationPatient=[1, 0, 0, 0, 0, -1]), "several orientations or sizes"),
        (lambda files: edited(files[0], Rows=9, Columns=40), "several orientations or sizes"),
        (lambda files: edited(files[0], ImagePositionPatient=None), "ImagePositionPatient, .* are not in every slice"),
        (
            lambda files: [edited(file, PixelSpacing=[40, 40]) for file in files],
            "voxels of 40×40×3 mm by its header",
        ),
        (lambda files: [edited(file, Rows=60000, Columns=60000) for file in files], "60000×60000×12 voxels"),
        (lambda files: [edited(file, ImageOrientationPatient=[1, 0, 0, 1, 0, 0]) for file in files], "at right angles"),
        (lambda files: [edited(file, ImageOrientationPatient=[2, 0, 0, 0, 2, 0]) for file in files], "at right angles"),
        (lambda files: edited(files[0], PhotometricInterpretation="MONOCHROME1"), "not a grey image with black as 0"),
        (lambda files: edited(files[0], PixelData=b"\0" * 10), r"cannot be decoded \(ValueError; Explicit VR Little"),
    ],
)
def test_invalid_volumes_are_refused(tmp_path, change, message):
    with_flair(tmp_path, change)
    text = refused(tmp_path)
    assert text.startswith(("case s: flair: ", "1 file(s) cannot be read"))
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(text)


def by_number(files):
    return sorted(files, key=lambda path: pydicom.dcmread(path).InstanceNumber)


def test_multi_frame_file_without_positions_is_refused(tmp_path):
    with_flair(tmp_path, lambda files: edited(files[0], NumberOfFrames=30))
    assert "has 30 frames, but positions of 1; convert it to NIfTI" in refused(tmp_path)


def write_enhanced(path, values, affine, order, **tags):
    """One file of many frames (enhanced MR) in the given order of slices, each with its own scaling."""
    lps = np.diag([-1, -1, 1, 1]) @ affine
    sizes = nib.affines.voxel_sizes(affine)
    image = pydicom.dcmread(write_series(path.parent / "one", values[:, :, :1], affine, generate_uid(), "T1")[0])
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        delattr(image, name)
    shared, measures, plane = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing = [float(sizes[1]), float(sizes[0])]
    plane.ImageOrientationPatient = (lps[:3, :2] / sizes[:2]).T.ravel().tolist()
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [plane]
    image.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for k in order:
        frame, place, scale = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = apply_affine(lps, (0, 0, k)).tolist()
        scale.RescaleSlope, scale.RescaleIntercept = 1 + k, -k
        frame.PlanePositionSequence, frame.PixelValueTransformationSequence = [place], [scale]
        frames.append(frame)
    image.PerFrameFunctionalGroupsSequence = frames
    image.NumberOfFrames = len(order)
    image.PixelData = b"".join(np.ascontiguousarray(values[:, :, k].T.astype("<i2")).tobytes() for k in order)
    for name, value in tags.items():
        setattr(image, name, value)
    image.save_as(path)


def test_multi_frame_file_is_read_as_slices(tmp_path):
    values = somewhere(TILTED)
    write_enhanced(tmp_path / "enhanced", values, TILTED, [3, 0, 8, 1, 7, 2, 6, 4, 5])
    (series,), _ = series_of(headers(tmp_path, ["enhanced"]))
    assert series.files == ("enhanced",)
    volume = stacked(tmp_path, headers(tmp_path, ["enhanced"]))
    true = nib.as_closest_canonical(nib.Nifti1Image(values * np.arange(1.0, 10) - np.arange(9), TILTED))
    there = nib.as_closest_canonical(nib.Nifti1Image(volume.values, volume.affine))
    np.testing.assert_array_equal(there.get_fdata(), true.get_fdata())
    np.testing.assert_allclose(there.affine, true.affine, atol=1e-6)


def test_two_volumes_in_one_multi_frame_file_are_refused(tmp_path):
    write_enhanced(tmp_path / "enhanced", somewhere(AXIAL), AXIAL, [*range(9), *range(9)])
    with pytest.raises(InputError, match="several volumes are in one series"):
        stacked(tmp_path, headers(tmp_path, ["enhanced"]))


@pytest.mark.parametrize("left", [b"", b"\0" * 400])
def test_incompletely_copied_study_is_refused(tmp_path, left):
    with_flair(tmp_path, lambda files: [path.write_bytes(left) for path in by_number(files)[8:]])
    text = refused(tmp_path)
    assert text.startswith("4 file(s) cannot be read, so the study is incomplete")
    assert "perhaps an interrupted copy" in text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda files: [path.unlink() for path in by_number(files)[1:-1:3]], "8 slices numbered 1 to 12, so 4"),
        (
            lambda files: [edited(path, ImagesInAcquisition=20) for path in files],
            "12 slices, but the scanner recorded 20",
        ),
    ],
)
def test_incomplete_series_with_even_steps_is_refused(tmp_path, change, message):
    with_flair(tmp_path, change)
    assert message in refused(tmp_path)


def test_padding_becomes_zero_in_volumes(tmp_path):
    values = somewhere(AXIAL)
    values[:2] = -2000
    write_series(tmp_path, values, AXIAL, generate_uid(), "T1", PixelPaddingValue=-2000)
    volume = read_series(tmp_path)
    np.testing.assert_array_equal(volume.values[:2], 0)
    np.testing.assert_array_equal(volume.values[2:], somewhere(volume.affine)[2:])


def test_tag_text_is_never_quoted(tmp_path, capfd, caplog):
    """pydicom's own messages on invalid UIDs and odd values contain the tag's text."""
    with pydicom.config.disable_value_validation():
        write_series(tmp_path, somewhere(AXIAL), AXIAL, f"DOE^JANE {SECRET}", "T1", FrameOfReferenceUID=SECRET)
    read_series(tmp_path)
    refused_text = str(read_study(tmp_path)[1])
    said = "".join(capfd.readouterr()) + caplog.text + refused_text
    assert "DOE" not in said and SECRET not in said


def test_unreadable_compression_is_named(tmp_path):
    def compress(files):
        for file in files:
            image = pydicom.dcmread(file)
            image.file_meta.TransferSyntaxUID = JPEGLSLossless
            image.PixelData = pydicom.encaps.encapsulate([b"\0" * 10])
            image["PixelData"].is_undefined_length = True
            image.save_as(file)

    with_flair(tmp_path, compress)
    assert "JPEG-LS Lossless" in refused(tmp_path)


@pytest.mark.parametrize(
    ("size", "message"), [(400, "incomplete DICOM file"), (620, "incomplete DICOM file"), (-9, "cannot be decoded")]
)
def test_truncated_file_is_named(tmp_path, size, message):
    with_flair(tmp_path, lambda files: files[3].write_bytes(files[3].read_bytes()[:size]))
    assert message in refused(tmp_path)


@pytest.mark.parametrize(
    "odd",
    [{"ImagePositionPatient": [1, 2]}, {"EchoTime": [1, 2]}, {"Rows": [9, 9]}, {"ImagePositionPatient": ["nan"] * 3}],
)
def test_malformed_tags_are_refused(tmp_path, odd):
    with_flair(tmp_path, lambda files: edited(files[0], **odd))
    assert "malformed tags, such as two numbers instead of one" in refused(tmp_path)


def test_dicomdir_is_skipped(tmp_path):
    write_study(tmp_path)
    (tmp_path / "DICOMDIR").write_bytes((tmp_path / min(tmp_path.iterdir()).name).read_bytes())
    contents = pydicom.dcmread(tmp_path / "DICOMDIR")
    contents.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    del contents.Modality
    contents.save_as(tmp_path / "DICOMDIR")
    assert read_study(tmp_path)[1] == []


def test_names_are_never_read(tmp_path):
    write_study(tmp_path)
    found = headers(tmp_path, sorted(path.name for path in tmp_path.iterdir()))
    assert len(found) == 4 * SHAPE[2]
    assert not any("PatientName" in one.tags or "StudyDescription" in one.tags for one in found)
    assert SECRET in pydicom.dcmread(tmp_path / found[0].path).PatientName
