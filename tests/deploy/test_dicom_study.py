"""DICOM series to volumes: where the voxels are, which modality it is, and what is refused."""

import nibabel as nib
import numpy as np
import pydicom
import pytest
from monai.data import PydicomReader
from nibabel.affines import apply_affine, from_matvec
from pydicom.dataset import Dataset
from pydicom.uid import JPEGLSLossless, MediaStorageDirectoryStorage, generate_uid

from btlib.deploy.dicom_study import headers, modality_of, read_study, stacked
from tests.deploy.joint_make import SECRET, SHAPE, TILTED, brain, write_modality, write_series, write_study

# columns: where the next column, row and slice lie, in mm RAS
AXIAL = from_matvec([[-0.9, 0, 0], [0, -1.1, 0], [0, 0, 5]], (90, 110, -40))
SAGITTAL = from_matvec([[0, 0, -1.2], [-0.9, 0, 0], [0, -1.1, 0]], (80, 100, 90))
PLANES = {"axial": AXIAL, "sagittal": SAGITTAL, "oblique": TILTED}


def somewhere(affine):
    """int16 [10, 12, 9]: 4 mm⁻¹ to the right, 5 to the front, 7 upwards, so that the value tells the place."""
    places = apply_affine(affine, np.moveaxis(np.indices((10, 12, 9)), 0, -1))
    return np.rint(places @ [4, 5, 7]).astype(np.int16)


def read_series(folder):
    return stacked(folder, headers(folder, sorted(path.name for path in folder.iterdir())))


@pytest.mark.parametrize("plane", PLANES)
def test_voxels_are_where_the_scanner_saw_them(tmp_path, plane):
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


def test_a_study_gives_its_four_volumes_in_any_order_of_files(tmp_path):
    write_study(tmp_path, key=3)
    names = sorted(path.name for path in tmp_path.iterdir())
    volumes, faults = read_study("s", tmp_path, names)
    again, _ = read_study("s", tmp_path, names[::-1])
    assert faults == []
    for number, name in enumerate(("t1", "t1ce", "t2", "flair")):
        there = nib.as_closest_canonical(nib.Nifti1Image(volumes[name].values, volumes[name].affine))
        true = nib.as_closest_canonical(nib.Nifti1Image(brain(3)[number], TILTED))
        np.testing.assert_array_equal(there.get_fdata(), true.get_fdata())
        np.testing.assert_allclose(there.affine, true.affine, atol=1e-6)
        np.testing.assert_array_equal(volumes[name].values, again[name].values)


def tags(words="", protocol="", agent=None, times=(), sequence="SE"):
    found = Dataset()
    found.SeriesDescription, found.ProtocolName, found.ScanningSequence = words, protocol, sequence
    if agent is not None:
        found.ContrastBolusAgent = agent
    for name, value in zip(("EchoTime", "RepetitionTime", "InversionTime"), times, strict=False):
        setattr(found, name, value)
    return found


@pytest.mark.parametrize(
    ("expected", "series"),
    {
        "t1": tags("Ax T1 SE", times=(10, 500)),
        "t1ce": tags("Ax T1 SE", agent="Gadovist", times=(10, 500)),
        "t2": tags("t2_tse_tra", times=(100, 4000, 0)),
        "flair": tags("AX T2 FLAIR", agent="Gadovist", times=(120, 9000, 2500)),
    }.items(),
)
def test_common_series(expected, series):
    assert modality_of(series) == expected


@pytest.mark.parametrize(
    ("expected", "series"),
    [
        ("t1ce", tags("SAG 3D T1 MPRAGE +C", times=(3, 2000, 900))),
        ("t1", tags("T1 PRE", agent="Gadovist", times=(3, 2000, 900))),  # the agent is noted from the start
        ("t1", tags("T1", agent="NONE", times=(10, 500))),
        ("t1", tags("AX T1 FLAIR", times=(10, 2200, 860))),
        ("flair", tags("t2_tirm_tra_dark-fluid", times=(90, 9000, 2500))),
        ("t1", tags(times=(10, 500))),  # by the times alone
        ("t1ce", tags(agent="Magnevist", times=(4, 9))),
        ("t2", tags("tra", times=(95, 5000))),
        ("flair", tags(times=(140, 8800, 2400))),
        ("t2", tags("unnamed", protocol="T2_TSE_TRA", times=())),
        (None, tags(times=(15, 2500))),  # proton density
        (None, tags(times=(95, 5000), sequence=["EP", "SE"])),  # echo-planar
        (None, tags("AX T2", times=(120, 9000, 2500))),  # words and times contradict each other
        (None, tags("T1 in T2 space")),
        ("other", tags("ep2d_diff ADC", times=(95, 5000))),
        ("other", tags("AX T2* GRE", times=(20, 600))),
        ("other", tags("LOCALIZER T1", times=(10, 500))),
    ],
)
def test_series_that_are_harder_to_tell(expected, series):
    assert modality_of(series) == expected


def refused(folder):
    """The faults of the study in a folder, which hold nothing of the patient."""
    _, faults = read_study("s", folder, sorted(path.name for path in folder.iterdir()))
    text = "\n".join(faults)
    assert text and "DOE" not in text
    return text


def test_a_missing_series_is_named(tmp_path):
    write_study(tmp_path, without=("flair",))
    text = refused(tmp_path)
    assert "found 1 of t1, 1 of t1ce, 1 of t2, 0 of flair" in text
    assert "and 11 more: t1ce (EchoTime 10 ms, RepetitionTime 500 ms, InversionTime 0 ms)" in text


def test_two_series_of_one_kind_are_refused(tmp_path):
    write_study(tmp_path)
    write_modality(tmp_path, brain(9)[1], AXIAL, generate_uid(), "t1ce")
    assert "found 1 of t1, 2 of t1ce, 1 of t2, 1 of flair" in refused(tmp_path)


def test_scouts_and_other_kinds_may_lie_beside(tmp_path):
    write_study(tmp_path)
    write_series(tmp_path, brain(9)[0][:, :, :3], AXIAL, generate_uid(), "T1 3 slices")
    write_series(tmp_path, brain(9)[0], AXIAL, generate_uid(), "ADC")
    write_series(tmp_path, brain(9)[0], AXIAL, generate_uid(), "T1", Modality="CT")
    (tmp_path / "report.txt").write_text("T1")
    volumes, faults = read_study("s", tmp_path, sorted(path.name for path in tmp_path.iterdir()))
    assert faults == [] and set(volumes) == {"t1", "t1ce", "t2", "flair"}


def test_echoes_of_one_series_are_told_apart(tmp_path):
    write_study(tmp_path, without=("t2",))
    series = generate_uid()
    for echo, values in ((20, brain(8)[2]), (100, brain(9)[2])):
        times = {"EchoTime": echo, "RepetitionTime": 4000, "SeriesInstanceUID": series}
        write_series(tmp_path, values, TILTED, generate_uid(), f"DUAL ECHO {echo}", **times)
    volumes, faults = read_study("s", tmp_path, sorted(path.name for path in tmp_path.iterdir()))
    assert faults == []
    assert np.sort(volumes["t2"].values, axis=None).tolist() == np.sort(brain(9)[2], axis=None).tolist()


def with_flair(folder, change):
    """A study whose FLAIR files went through `change`."""
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
            r"lie 3\.00 to 6\.00 mm apart, expected even steps: one is missing",
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
            r"of 40\.00×40\.00×3\.00 mm are no vol",
        ),
        (lambda files: [edited(file, Rows=60000, Columns=60000) for file in files], "60000×60000×12 voxels"),
        (lambda files: [edited(file, ImageOrientationPatient=[1, 0, 0, 1, 0, 0]) for file in files], "at right angles"),
        (lambda files: [edited(file, ImageOrientationPatient=[2, 0, 0, 0, 2, 0]) for file in files], "at right angles"),
        (lambda files: edited(files[0], PhotometricInterpretation="MONOCHROME1"), "not a grey picture with black as 0"),
        (lambda files: edited(files[0], PixelData=b"\0" * 10), r"cannot be decoded \(ValueError; Explicit VR Little"),
    ],
)
def test_what_is_no_volume_is_refused(tmp_path, change, message):
    with_flair(tmp_path, change)
    text = refused(tmp_path)
    assert text.startswith("case s: flair: ")
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(text)


def by_number(files):
    return sorted(files, key=lambda path: pydicom.dcmread(path).InstanceNumber)


def test_many_slices_in_one_file_are_refused(tmp_path):
    with_flair(tmp_path, lambda files: edited(files[0], NumberOfFrames=30))
    assert "holds many slices in one file (enhanced DICOM); convert the study to NIfTI" in refused(tmp_path)


def test_a_compression_that_cannot_be_read_is_named(tmp_path):
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
    ("size", "message"), [(400, "not a whole DICOM file"), (620, "not a whole DICOM file"), (-9, "cannot be decoded")]
)
def test_a_file_that_was_cut_short_is_named(tmp_path, size, message):
    with_flair(tmp_path, lambda files: files[3].write_bytes(files[3].read_bytes()[:size]))
    assert message in refused(tmp_path)


@pytest.mark.parametrize(
    "odd",
    [{"ImagePositionPatient": [1, 2]}, {"EchoTime": [1, 2]}, {"Rows": [9, 9]}, {"ImagePositionPatient": ["nan"] * 3}],
)
def test_tags_of_an_odd_form_are_refused(tmp_path, odd):
    with_flair(tmp_path, lambda files: edited(files[0], **odd))
    assert "not a whole DICOM file, or tags of an odd form (" in refused(tmp_path)


def test_a_table_of_contents_is_no_image(tmp_path):
    write_study(tmp_path)
    (tmp_path / "DICOMDIR").write_bytes((tmp_path / min(tmp_path.iterdir()).name).read_bytes())
    contents = pydicom.dcmread(tmp_path / "DICOMDIR")
    contents.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    del contents.Modality
    contents.save_as(tmp_path / "DICOMDIR")
    assert read_study("s", tmp_path, sorted(path.name for path in tmp_path.iterdir()))[1] == []


def test_names_are_never_read(tmp_path):
    write_study(tmp_path)
    found = headers(tmp_path, sorted(path.name for path in tmp_path.iterdir()))
    assert len(found) == 4 * SHAPE[2]
    assert not any("PatientName" in one.tags or "StudyDescription" in one.tags for one in found)
    assert SECRET in pydicom.dcmread(tmp_path / found[0].path).PatientName
