"""Finding cases in the user's paths, and their volumes."""

import json
import re

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from pydicom.uid import generate_uid

from btlib.app.scans.case_files import find_cases, is_case, proposals, stated_case
from btlib.app.scans.modality import Proposal
from btlib.app.scans.scans import read_scans
from btlib.app.scans.stated import state
from btlib.core.runtime.errors import InputError
from btlib.volumes.data.conventions import MODALITIES
from tests.app.joint_make import TILTED, brain, write_case, write_modality, write_study


def names(*paths):
    cases, faults, _ = find_cases(paths)
    assert faults == []
    return [case.name for case in cases]


def images_of(path):
    (case,), faults, _ = find_cases([path])
    assert faults == []
    return read_scans(case, resample=False).images


def faults_of(*paths):
    cases, found, _ = find_cases(paths)
    faults = [f"{path}: {reason}" for path, reason in found]
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


def test_segmentations_and_grades_are_ignored(tmp_path):
    write_case(tmp_path / "set/c1", 5)
    (tmp_path / "set/c1/c1_seg.nii.gz").write_bytes(b"no segmentation")
    (tmp_path / "set/name_mapping.csv").write_text("Grade,BraTS_2020_subject_ID\nHGG,another\n")
    np.testing.assert_array_equal(images_of(tmp_path / "set"), brain(5))


def test_other_files_are_ignored(tmp_path):
    write_case(tmp_path / "c1", 5)
    for name in ("brain_mask.nii.gz", "t1_seg.nii.gz", "ADC.nii.gz", "notes.txt"):
        (tmp_path / "c1" / name).write_bytes(b"ignored")
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


def write_stack(path, order):
    """One 4D file with its modalities in the given order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = [brain(4)[MODALITIES.index(name)] for name in order]
    nib.save(nib.Nifti1Image(np.stack(values, axis=-1), TILTED), path)
    return path


def write_dataset(folder, order):
    """The dataset.json of the Decathlon, with the modalities in that order."""
    spoken = {"t1": "T1w", "t1ce": "t1gd", "t2": "T2w", "flair": "FLAIR"}
    labels = {"0": "background", "1": "edema", "2": "non-enhancing tumor", "3": "enhancing tumour"}
    item = {"image": "./imagesTr/BRATS_007.nii.gz", "label": "./labelsTr/BRATS_007.nii.gz"}
    modality = {str(number): spoken[name] for number, name in enumerate(order)}
    content = {"modality": modality, "labels": labels, "training": [item], "test": []}
    (folder / "dataset.json").write_text(json.dumps(content))


def stated_images(places):
    return read_scans(stated_case(places), resample=False).images


DECATHLON = ("flair", "t1", "t1ce", "t2")


@pytest.mark.parametrize("order", [DECATHLON, MODALITIES])
def test_4d_file_has_the_order_of_its_dataset_json(tmp_path, order):
    path = write_stack(tmp_path / "imagesTr/BRATS_007.nii.gz", order)
    other = write_stack(tmp_path / "imagesTs/BRATS_008.nii.gz", order)
    write_dataset(tmp_path, order)
    for place, case in ((tmp_path, "BRATS_007"), (path, "BRATS_007"), (other, "BRATS_008")):
        assert is_case(place) and names(place) == [case]
        np.testing.assert_array_equal(images_of(place), brain(4))


def test_the_order_of_a_4d_file_is_never_assumed(tmp_path):
    path = write_stack(tmp_path / "c1/stack.nii.gz", DECATHLON)
    assert f"{path}: contains 4 volumes in unknown order; if it is this one" in faults_of(path)
    assert f"--t1 {path}#0 --t1ce {path}#1 --t2 {path}#2 --flair {path}#3" in faults_of(path)
    assert "counted from 0, as in stack.nii.gz#0" in faults_of(path.parent)
    places = {name: f"stack.nii.gz#{number}" for number, name in enumerate(DECATHLON)}
    stated = stated_images({name: path.parent / place for name, place in places.items()})
    np.testing.assert_array_equal(stated, brain(4))
    state(path.parent, places)
    np.testing.assert_array_equal(images_of(path.parent), brain(4))
    np.testing.assert_array_equal(images_of(path), brain(4))


def test_single_scan_is_not_a_case(tmp_path):
    scan = write_case(tmp_path / "c1", 0) / "c1_t1.nii.gz"
    assert f"{scan}: contains one volume; give the folder of all four scans" in faults_of(scan)


ODD = {"t1": "a.nii.gz", "t1ce": "b.nii.gz", "t2": "c.nii.gz", "flair": "d.nii.gz"}


def test_uninformative_names_can_be_stated(tmp_path):
    case = write_case(tmp_path / "in/c1", 5, names=ODD)
    assert "found 0 of t1, 0 of t1ce, 0 of t2, 0 of flair" in faults_of(tmp_path / "in")
    assert proposals(case) == [Proposal(name, None, "its name says no modality") for name in ODD.values()]
    np.testing.assert_array_equal(stated_images({name: case / file for name, file in ODD.items()}), brain(5))
    state(case, ODD)
    np.testing.assert_array_equal(images_of(tmp_path / "in"), brain(5))


def test_one_case_json_for_scans_in_separate_folders(tmp_path):
    whole = write_case(tmp_path / "whole", 5, names={name: f"{name}.nii.gz" for name in MODALITIES})
    for name in MODALITIES:
        (tmp_path / "in/c1" / name).mkdir(parents=True)
        (whole / f"{name}.nii.gz").rename(tmp_path / "in/c1" / name / "scan.nii.gz")
    state(tmp_path / "in/c1", {name: f"{name}/scan.nii.gz" for name in MODALITIES})
    assert names(tmp_path / "in") == ["c1"]
    np.testing.assert_array_equal(images_of(tmp_path / "in"), brain(5))


def test_t1_and_t1ce_swapped_by_their_names_are_refused(tmp_path):
    swapped = {"t1": "T1_post.nii", "t1ce": "T1.nii", "t2": "T2.nii", "flair": "FLAIR.nii"}
    case = write_case(tmp_path / "c1", 5, names=swapped)
    assert "vessels and lesion are brighter in T1.nii, taken for T1, than in T1_post.nii" in faults_of(case)
    state(case, {"t1": "T1.nii", "t1ce": "T1_post.nii"})
    scans = read_scans(find_cases([case]).cases[0], resample=False)
    assert "as stated, but vessels and lesion are brighter in T1.nii" in scans.remarks[0]
    assert scans.sources["t1"] == ("T1.nii", "stated in case.json")


def test_two_unlabelled_t1_are_refused_with_image_evidence(tmp_path):
    alike = {"t1": "T1_b.nii", "t1ce": "T1_a.nii", "t2": "T2.nii", "flair": "FLAIR.nii"}
    text = faults_of(write_case(tmp_path / "c1", 5, names=alike))
    assert "unclear which of T1_a.nii and T1_b.nii was acquired with contrast; by the images it is T1_a.nii" in text


def test_series_are_stated_by_their_folders(tmp_path):
    study = generate_uid()
    for name, values in zip(MODALITIES, brain(3), strict=True):
        write_modality(tmp_path / "p" / name.upper(), values, TILTED, study, "t1")  # all with the same description
    places = {name: name.upper() for name in MODALITIES}
    assert "found 4 of t1, 0 of t1ce" in faults_of(tmp_path / "p")
    assert [one.modality for one in proposals(tmp_path / "p")] == ["t1"] * 4
    stated = stated_images({name: tmp_path / "p" / place for name, place in places.items()})
    state(tmp_path / "p", places)
    np.testing.assert_array_equal(images_of(tmp_path / "p"), stated)
    for found, true in zip(stated, brain(3), strict=True):
        np.testing.assert_array_equal(np.sort(found, axis=None), np.sort(true, axis=None))


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("gone.nii.gz", "gone.nii.gz: no such file or folder"),
        ("x.mha", "x.mha: not a supported volume; convert it to NIfTI, for example with SimpleITK"),
        ("x.png", "x.png: not a supported volume; give a NIfTI file, or the folder of a DICOM series"),
    ],
)
def test_stated_path_must_be_a_volume(tmp_path, place, message):
    case = write_case(tmp_path / "c1", 0)
    (case / "x.mha").write_bytes(b"x")
    (case / "x.png").write_bytes(b"x")
    files = {name: case / f"c1_{name}.nii.gz" for name in MODALITIES}
    with pytest.raises(InputError, match=re.escape(message)):
        stated_case(files | {"t2": case / place})


@pytest.mark.parametrize("ending", ["mha", "MHD", "nrrd", "nhdr", "hdr", "img", "mgz"])
def test_other_volume_formats_are_refused_with_conversion_advice(tmp_path, ending):
    (tmp_path / "c").mkdir()
    for name in MODALITIES:
        (tmp_path / f"c/{name}.{ending}").write_bytes(b"x")
    assert is_case(tmp_path / "c") and is_case(tmp_path / f"c/t1.{ending}")
    assert f"sitk.WriteImage(sitk.ReadImage('t1.{ending}'), 't1.nii.gz')" in faults_of(tmp_path / f"c/t1.{ending}")
    assert "unsupported volume format; convert it to NIfTI" in faults_of(tmp_path / "c")


def test_upper_case_extensions(tmp_path):
    case = write_case(tmp_path / "c1", 5)
    for path in case.iterdir():
        path.rename(path.with_name(path.name.upper()))
    assert is_case(case)
    np.testing.assert_array_equal(images_of(case), brain(5))


def test_results_of_an_earlier_run_are_skipped(tmp_path):
    write_case(tmp_path / "in/c1", 5)
    write_case(tmp_path / "in/out/c1", 6)
    (tmp_path / "in/out/cases.json").write_text('{"cases": [], "model": {"intended_use": ""}}')
    assert names(tmp_path / "in") == ["c1"]
    assert find_cases([tmp_path / "in"]).unused == {tmp_path / "in/out": "results of an earlier run, not scans"}
    assert "results of an earlier run, not scans; name the scans" in faults_of(tmp_path / "in/out/c1")


def test_dicom_studies_are_named_after_their_folders(tmp_path):
    write_study(tmp_path / "all/p1", key=1)
    write_study(tmp_path / "all/p2/mri", key=2)
    assert is_case(tmp_path / "all")
    assert names(tmp_path / "all") == ["p1", "p2_mri"]
    assert names(tmp_path / "all/p2") == ["p2"]
    affine = read_scans(find_cases([tmp_path / "all/p1"]).cases[0], resample=False).affine
    assert abs(np.linalg.det(affine)) == pytest.approx(9)


def test_studies_in_one_folder_are_refused(tmp_path):
    write_study(tmp_path / "mixed", key=1)
    write_study(tmp_path / "mixed", key=2)
    assert "files of 2 DICOM studies are mixed; put each study into its own folder" in faults_of(tmp_path / "mixed")


def test_pictures_are_not_a_case(tmp_path):
    (tmp_path / "glioma").mkdir()
    Image.new("L", (32, 32)).save(tmp_path / "glioma/a.png")
    write_modality(tmp_path / "single", brain(0)[0][:, :, :2], TILTED, generate_uid(), "t1")
    assert not any(map(is_case, (tmp_path, tmp_path / "glioma/a.png", tmp_path / "single")))
    assert f"{tmp_path / 'glioma'}: no case found; a case is a folder with four" in faults_of(tmp_path / "glioma")
    assert f"{tmp_path / 'glioma/a.png'}: not a case; a case is" in faults_of(tmp_path / "glioma/a.png")


def test_one_broken_study_or_dangling_link_stops_no_other(tmp_path):
    for key, name in enumerate(("good", "cut", "mixed", "lost")):
        write_study(tmp_path / "in" / name, key)
    write_study(tmp_path / "in/mixed", 7)
    first = sorted((tmp_path / "in/cut").iterdir())[0]
    first.write_bytes(b"")
    for path in (tmp_path / "in/lost").iterdir():
        path.write_bytes(b"\0" * 200)
    cases, faults, _ = find_cases([tmp_path / "in"])
    assert faults == [] and [case.name for case in cases] == ["cut", "good", "lost", "mixed"]
    said = {case.name: case.fault.split(",")[0] for case in cases}
    assert said == {
        "cut": "1 file(s) cannot be read",
        "good": "",
        "lost": "48 file(s) cannot be read",
        "mixed": "the files of 2 DICOM studies are mixed; put each study into its own folder",
    }
    assert read_scans(cases[1], resample=False).name == "good"
    assert [case.folder for case in cases] == [tmp_path / "in" / name for name in ("cut", "good", "lost", "mixed")]
    case = write_case(tmp_path / "linked", 5)
    (case / "gone.bin").symlink_to(tmp_path / "nowhere")
    assert find_cases([case]).unused == {case / "gone.bin": "no such file (a dangling link, or moved since the scan)"}


def test_all_faults_of_all_paths_are_listed(tmp_path):
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
        "case 'bad name': the name is used for a folder",
        "case twice: found 2 times; rename the folders",
        "case lacks: expected one volume of each modality, found 1 of t1, 1 of t1ce, 0 of t2, 1 of flair",
        "case vague: expected one volume of each modality, found 4 of t1, 0 of t1ce, 0 of t2, 0 of flair",
        "broken_flair.nii.gz: not a valid NIfTI file",
        "gone: no such file or folder",
    ):
        assert message in text


def test_different_grids_are_resampled_only_on_request(tmp_path):
    case = write_case(tmp_path / "c1", 5)
    moved = TILTED.copy()
    moved[:3, 3] += TILTED[:3, 0]  # one voxel along the first axis
    nib.save(nib.Nifti1Image(brain(5)[2][1:], moved), case / "c1_t2.nii.gz")
    assert "case c1: not on the grid of c1_t1ce.nii.gz: c1_t2.nii.gz (19×18×12 voxels, not" in faults_of(case)
    assert "--resample" in faults_of(case)
    scans = read_scans(find_cases([case]).cases[0], resample=True)
    np.testing.assert_allclose(scans.images[2], brain(5)[2], atol=1e-3)
    assert scans.remarks == ("t2 resampled to the grid of t1ce by headers, without motion correction",)
