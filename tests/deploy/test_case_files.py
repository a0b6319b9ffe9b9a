"""Which cases are found in what a user names, and what their volumes are."""

import json

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from pydicom.uid import generate_uid

from btlib.data.volumes.conventions import MODALITIES
from btlib.deploy.case_files import find_cases, is_case, read_scans
from btlib.deploy.modality_words import spoken
from btlib.errors import InputError
from tests.deploy.joint_make import TILTED, brain, write_case, write_modality, write_study


def names(*paths):
    cases, faults = find_cases(paths)
    assert faults == []
    return [case.name for case in cases]


def images_of(path):
    (case,), faults = find_cases([path])
    assert faults == []
    return read_scans(case, resample=False).images


def faults_of(*paths):
    cases, faults = find_cases(paths)
    for case in cases:
        try:
            read_scans(case, resample=False)
        except InputError as error:
            faults.append(str(error))
    return "\n".join(faults)


@pytest.mark.parametrize(
    "files",
    [
        dict(zip(MODALITIES, ("c1_t1.nii.gz", "c1_t1ce.nii.gz", "c1_t2.nii.gz", "c1_flair.nii.gz"), strict=True)),
        dict(zip(MODALITIES, ("c1-t1n.nii.gz", "c1-t1c.nii.gz", "c1-t2w.nii.gz", "c1-t2f.nii.gz"), strict=True)),
        dict(zip(MODALITIES, ("T1.nii", "T1Gd.nii", "T2.nii", "FLAIR.nii"), strict=True)),
        dict(zip(MODALITIES, ("3_T1.nii.gz", "9_T1_post.nii.gz", "4_T2.nii.gz", "5_T2_FLAIR.nii.gz"), strict=True)),
        dict(
            zip(
                MODALITIES,
                ("sub-1_T1w.nii.gz", "sub-1_ce-gadolinium_T1w.nii.gz", "sub-1_T2w.nii.gz", "sub-1_FLAIR.nii.gz"),
                strict=True,
            )
        ),
    ],
)
def test_a_folder_with_four_files(tmp_path, files):
    write_case(tmp_path / "c1", 5, names=files)
    assert is_case(tmp_path / "c1") and names(tmp_path / "c1") == ["c1"]
    np.testing.assert_array_equal(images_of(tmp_path / "c1"), brain(5))


def test_segmentations_and_grades_do_not_matter(tmp_path):
    write_case(tmp_path / "set/c1", 5)
    (tmp_path / "set/c1/c1_seg.nii.gz").write_bytes(b"no segmentation")
    (tmp_path / "set/name_mapping.csv").write_text("Grade,BraTS_2020_subject_ID\nHGG,another\n")
    np.testing.assert_array_equal(images_of(tmp_path / "set"), brain(5))


def test_other_files_may_lie_beside(tmp_path):
    write_case(tmp_path / "c1", 5)
    for name in ("brain_mask.nii.gz", "t1_seg.nii.gz", "ADC.nii.gz", "notes.txt"):
        (tmp_path / "c1" / name).write_bytes(b"not looked at")
    np.testing.assert_array_equal(images_of(tmp_path / "c1"), brain(5))


def test_several_cases_in_folders_and_lists(tmp_path):
    for key, name in enumerate(("b", "a")):
        write_case(tmp_path / "brats" / name, key)
        write_case(tmp_path / "words" / f"w{name}", key, names={m: f"{m}.nii.gz" for m in MODALITIES})
    write_case(tmp_path / "table/files", 2, names={m: f"{m}.nii.gz" for m in MODALITIES})
    row = ",".join(f"files/{m}.nii.gz" for m in MODALITIES)
    (tmp_path / "table/cases.csv").write_text(f"case,t1,t1ce,t2,flair,seg,grade,patient\nz9,{row},gone.nii.gz,HGG,p\n")
    folders = [tmp_path / name for name in ("words", "brats", "table/cases.csv")]
    assert names(*folders) == ["a", "b", "wa", "wb", "z9"]
    assert all(map(is_case, folders)) and is_case(tmp_path / "table")
    np.testing.assert_array_equal(images_of(tmp_path / "table"), brain(2))


def test_a_decathlon_file_and_set(tmp_path):
    t1, t1ce, t2, flair = brain(4)
    (tmp_path / "imagesTr").mkdir()
    path = tmp_path / "imagesTr/BRATS_007.nii.gz"
    nib.save(nib.Nifti1Image(np.stack([flair, t1, t1ce, t2], axis=-1), TILTED), path)
    assert is_case(path) and names(path) == ["BRATS_007"]
    np.testing.assert_array_equal(images_of(path), brain(4))
    labels = {"0": "background", "1": "edema", "2": "non-enhancing tumor", "3": "enhancing tumour"}
    item = {"image": "./imagesTr/BRATS_007.nii.gz", "label": "./labelsTr/BRATS_007.nii.gz"}
    modality = {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"}
    content = {"modality": modality, "labels": labels, "training": [item], "test": []}
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    np.testing.assert_array_equal(images_of(tmp_path), brain(4))


def test_one_scan_alone_is_no_case(tmp_path):
    scan = write_case(tmp_path / "c1", 0) / "c1_t1.nii.gz"
    assert f"{scan}: does not hold 4 volumes; name the folder of all four scans" in faults_of(scan)
    scan.write_bytes(b"zz")
    assert "c1_t1.nii.gz: not a whole NIfTI file" in faults_of(scan)


def test_dicom_studies_are_named_after_their_folders(tmp_path):
    write_study(tmp_path / "all/p1", key=1)
    write_study(tmp_path / "all/p2/mri", key=2)
    assert is_case(tmp_path / "all")
    assert names(tmp_path / "all") == ["p1", "p2_mri"]
    assert names(tmp_path / "all/p2") == ["p2"]
    affine = read_scans(find_cases([tmp_path / "all/p1"])[0][0], resample=False).affine
    assert abs(np.linalg.det(affine)) == pytest.approx(9)


def test_studies_in_one_folder_are_refused(tmp_path):
    write_study(tmp_path / "mixed", key=1)
    write_study(tmp_path / "mixed", key=2)
    assert "files of 2 DICOM studies lie together; give each a folder of its own" in faults_of(tmp_path / "mixed")


def test_pictures_are_no_case(tmp_path):
    (tmp_path / "glioma").mkdir()
    Image.new("L", (32, 32)).save(tmp_path / "glioma/a.png")
    write_modality(tmp_path / "single", brain(0)[0][:, :, :2], TILTED, generate_uid(), "t1")
    assert not any(map(is_case, (tmp_path, tmp_path / "glioma/a.png", tmp_path / "single")))
    assert f"{tmp_path / 'glioma'}: no case found; a case is a folder with four" in faults_of(tmp_path / "glioma")
    assert f"{tmp_path / 'glioma/a.png'}: not a case; a case is" in faults_of(tmp_path / "glioma/a.png")


def test_all_faults_of_all_paths(tmp_path):
    write_case(tmp_path / "bad name", 0)
    write_case(tmp_path / "x/twice", 1)
    write_case(tmp_path / "y/twice", 2)
    write_case(tmp_path / "lacks", 3)
    (tmp_path / "lacks/lacks_t2.nii.gz").unlink()
    write_case(tmp_path / "vague", 4, names={m: f"{number}_T1.nii.gz" for number, m in enumerate(MODALITIES)})
    broken = write_case(tmp_path / "broken", 5) / "broken_flair.nii.gz"
    broken.write_bytes(broken.read_bytes()[:-40])
    text = faults_of(*(tmp_path / n for n in ("bad name", "x", "y", "lacks", "vague", "broken", "gone")))
    for message in (
        "case 'bad name': its name becomes a folder's",
        "case twice: found 2 times; rename the folders",
        "case lacks: no t2 volume",
        "expected one NIfTI file each of t1, t1ce, t2 and flair, found 0_T1.nii.gz (t1), 1_T1.nii.gz (t1)",
        "broken_flair.nii.gz: not a whole NIfTI file",
        "gone: no such file or folder",
    ):
        assert message in text


def test_grids_that_differ_are_resampled_only_when_asked_for(tmp_path):
    case = write_case(tmp_path / "c1", 5)
    moved = TILTED.copy()
    moved[:3, 3] += TILTED[:3, 0]  # one voxel along the first axis
    nib.save(nib.Nifti1Image(brain(5)[2], moved), case / "c1_t2.nii.gz")
    assert "case c1: t2 not on the grid of t1ce; co-register the scans and strip the skull" in faults_of(case)
    assert "--resample" in faults_of(case)
    scans = read_scans(find_cases([case])[0][0], resample=True)
    np.testing.assert_allclose(scans.images[2, 1:], brain(5)[2][:-1], atol=1e-3)
    assert scans.remarks == ("t2 brought onto the grid of t1ce by headers, which know of no movement",)


@pytest.mark.parametrize(
    ("text", "weighting", "contrast"),
    [
        ("BraTS20_Training_001_t1", "t1", None),
        ("BraTS-GLI-00000-000-t1c", "t1", True),
        ("T1_without_contrast", "t1", False),
        ("Ax T1 C+", "t1", True),
        ("FLAIR_post_contrast", "flair", True),
        ("t1_mask", "other", None),
        ("patient12", None, None),
        ("T10", None, None),
    ],
)
def test_words(text, weighting, contrast):
    assert spoken(text) == (weighting, contrast)
