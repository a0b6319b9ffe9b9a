import json

import pytest

from btlib.core.runtime.errors import InputError
from btlib.volumes.data.sources import brats, dataset_json, recognize, table
from btlib.volumes.data.sources.entry import Entry
from tests.volumes.data.volume_samples import (
    NEW,
    OLD,
    brain,
    labels,
    make_brats2020,
    make_case,
    make_msd,
    save,
    write_table,
)


def files_of(folder: str, names=OLD, suffix=".nii.gz", seg=True) -> dict[str, str]:
    case = folder.rsplit("/")[-1]
    kinds = ("t1", "t1ce", "t2", "flair", "seg")
    return {
        kind: f"{folder}/{case}{name}{suffix}" for kind, name in zip(kinds, names, strict=True) if seg or kind != "seg"
    }


def test_brats_2018_and_2019_grades_by_folder(tmp_path):
    make_case(tmp_path / "HGG/Brats18_TCIA02_314_1", 0)
    make_case(tmp_path / "LGG/Brats18_2013_9_1", 1)
    scan = recognize.scan(tmp_path)
    assert scan.broken == []
    assert scan.entries == [
        Entry("Brats18_TCIA02_314_1", **files_of("HGG/Brats18_TCIA02_314_1"), grade="HGG"),
        Entry("Brats18_2013_9_1", **files_of("LGG/Brats18_2013_9_1"), grade="LGG"),
    ]


def test_brats_2020_grades_by_table(tmp_path):
    data = tmp_path / "MICCAI_BraTS2020_TrainingData"  # as unpacked, one level down
    names = make_brats2020(data, "HL-", suffix=".nii")
    scan = recognize.scan(tmp_path)
    assert scan.broken == []
    assert [(entry.case, entry.grade) for entry in scan.entries] == list(zip(names, ("HGG", "LGG", ""), strict=True))
    assert scan.entries[0].seg == f"{data.name}/{names[0]}/{names[0]}_seg.nii"
    assert {entry.conventions for entry in scan.entries} == {("brats", "canonical")}


def test_brats_2019_names_in_the_table(tmp_path):
    make_case(tmp_path / "HGG/BraTS19_CBICA_AAB_1", 0)
    (tmp_path / "name_mapping.csv").write_text(
        "Grade,BraTS_2017_subject_ID,BraTS_2018_subject_ID,TCGA_TCIA_subject_ID,BraTS_2019_subject_ID\n"
        "HGG,Brats17_CBICA_AAB_1,Brats18_CBICA_AAB_1,NA,BraTS19_CBICA_AAB_1\n"
    )
    scan = brats.scan(tmp_path)
    assert (scan.broken, scan.entries[0].grade) == ([], "HGG")


def test_brats_2021(tmp_path):
    make_case(tmp_path / "BraTS2021_00000", 0)
    make_case(tmp_path / "BraTS2021_00002", 1, numbers=())
    assert recognize.scan(tmp_path).entries == [
        Entry("BraTS2021_00000", **files_of("BraTS2021_00000")),
        Entry("BraTS2021_00002", **files_of("BraTS2021_00002", seg=False)),
    ]


def test_brats_2023_names_contain_the_patient(tmp_path):
    for key, name in enumerate(("BraTS-GLI-00005-000", "BraTS-GLI-00005-001")):
        make_case(tmp_path / name, key, NEW)
    entries = recognize.scan(tmp_path).entries
    assert entries[0] == Entry(
        "BraTS-GLI-00005-000",
        **files_of("BraTS-GLI-00005-000", NEW),
        patient="BraTS-GLI-00005",
        conventions=("canonical", "post_treatment"),
    )
    assert [entry.patient for entry in entries] == ["BraTS-GLI-00005"] * 2


@pytest.mark.parametrize("files", ["*_seg.nii.gz", "*.nii.gz"])
def test_upper_case_names(tmp_path, files):
    case = make_case(tmp_path / "hgg/Brats18_X_2_1", 0)
    for path in case.glob(files):
        path.rename(path.with_name(path.name.upper()))
    scan = recognize.scan(tmp_path)
    (entry,) = scan.entries
    assert scan.broken == []
    assert entry.seg == "hgg/Brats18_X_2_1/BRATS18_X_2_1_SEG.NII.GZ"
    assert (entry.case.casefold(), entry.grade) == ("brats18_x_2_1", "HGG")
    assert (tmp_path / entry.t1ce).is_file()


def test_lower_case_grades_for_upper_case_names(tmp_path):
    make_case(tmp_path / "BRATS20_TRAINING_001", 0)
    (tmp_path / "name_mapping.csv").write_text("grade;BraTS_2020_subject_ID\nlgg; BraTS20_Training_001\n")
    scan = recognize.scan(tmp_path)
    assert (scan.broken, [entry.grade for entry in scan.entries]) == ([], ["LGG"])


@pytest.mark.parametrize(
    ("case", "conventions"),
    [
        ("BraTS-GLI-00005-100", ("canonical", "post_treatment")),
        ("BraTS-MET-00005-000", ("canonical", "post_treatment")),
        ("BraTS-MEN-00005-000", ("canonical",)),
        ("BraTS-PED-00005-000", ("canonical", "ped")),
        ("other", ("canonical", "post_treatment")),
    ],
)
def test_numberings_by_the_names_of_the_newer_sets(tmp_path, case, conventions):
    make_case(tmp_path / case, 0, NEW, (1, 2, 3))
    assert recognize.scan(tmp_path).entries[0].conventions == conventions


def test_unused_files_are_reported(tmp_path):
    folder = make_case(tmp_path / "BraTS2021_00000", 0)
    for name in ("notes.txt", ".DS_Store", "BraTS2021_00000_t1.mha", "scan.dcm"):
        (folder / name).touch()
    assert recognize.unused(tmp_path, recognize.scan(tmp_path)) == [
        "BraTS2021_00000/BraTS2021_00000_t1.mha: not used, not a NIfTI file",
        "BraTS2021_00000/scan.dcm: not used, not a NIfTI file",
    ]
    write_table(tmp_path, {"case": "a", "t1": "BraTS2021_00000/BraTS2021_00000_t1.nii.gz"})
    assert len(recognize.unused(tmp_path, recognize.scan(tmp_path))) == 2 + 4


def test_brats_faults(tmp_path):
    names = make_brats2020(tmp_path, "HLH")
    make_case(tmp_path / "LGG" / names[0], 9)
    make_case(tmp_path / names[1], 1, suffix=".nii")
    mapping = (tmp_path / "name_mapping.csv").read_text()
    (tmp_path / "name_mapping.csv").write_text(mapping.replace("LGG", "IV") + f"LGG,NA,{names[2]}\n")
    (tmp_path / names[2] / "W39_1998.09.19_Segm.nii").touch()  # as in the public copy, for case 355
    (tmp_path / "other").mkdir()
    (tmp_path / "other/name_mapping.csv").write_text("Grade,BraTS_2020_subject_ID\nHGG,BraTS20_Training_999\n")
    (tmp_path / "third").mkdir()
    (tmp_path / "third/name_mapping.csv").write_text("grade,case\nHGG,1\n")
    broken = brats.scan(tmp_path).broken
    for part in (
        f"{names[1]}/{names[1]}_t1.nii.gz: {names[1]}/{names[1]}_t1.nii exists too; keep one of them",
        f"{names[2]}/W39_1998.09.19_Segm.nii: not a BraTS name",
        f"name_mapping.csv: case {names[1]}: grade 'IV' is neither HGG nor LGG; correct it, or leave it empty",
        f"name_mapping.csv: case {names[2]}: graded HGG and LGG; correct one of them",
        "other/name_mapping.csv: lists none of the cases",
        "third/name_mapping.csv: columns are grade, case; expected Grade, one of BraTS_2017_subject_ID",
        f"LGG/{names[0]}: HGG and LGG at once, by its folders and name_mapping.csv",
    ):
        assert sum(part in fault for fault in broken) == 1, part
    assert len(broken) == 6 + 5, "each of the five volumes of one case exists twice"


def test_the_decathlon(tmp_path):
    make_msd(tmp_path)
    scan = recognize.scan(tmp_path)
    assert scan.broken == []
    image = "imagesTr/BRATS_001.nii.gz"
    assert scan.entries[0] == Entry(
        "BRATS_001",
        t1=f"{image}#1",
        t1ce=f"{image}#2",
        t2=f"{image}#3",
        flair=f"{image}#0",
        seg="labelsTr/BRATS_001.nii.gz",
        conventions=("msd",),
    )
    assert [entry.case for entry in scan.entries] == ["BRATS_001", "BRATS_002"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"modality": {"0": "CT"}}, r"channels are \{0: 'CT'\}; expected 0 to 3, one each of T1, T1ce .*; correct the"),
        ({"modality": {"0": "T1", "1": "T1w", "2": "T2", "3": "FLAIR"}}, "channels are .*'T1w'"),
        ({"labels": {"0": "background", "1": "liver", "2": "edema"}}, "label liver: expected oedema, necrosis or"),
        ({"training": ["./imagesTr/a.nii.gz"]}, r"not a dataset.json of the Decathlon .*training\.0: "),
        ({"modality": None}, r"not a dataset.json .*modality: "),
        ({"modality": [["a"] * 10000] * 100}, r"not a dataset.json .{,300}; download"),
    ],
)
def test_dataset_json_of_another_kind(tmp_path, change, message):
    content = make_msd(tmp_path)
    (tmp_path / "dataset.json").write_text(json.dumps(content | change))
    with pytest.raises(InputError, match=rf"dataset\.json: {message}"):
        dataset_json.scan(tmp_path)


@pytest.mark.parametrize("text", ["{", "[" * 100_000, '{"labels": {"1": "\\ud800"}}', "[1, 2]", "\xff\xfe"])
def test_invalid_dataset_json(tmp_path, text):
    (tmp_path / "dataset.json").write_text(text, encoding="latin-1")
    with pytest.raises(InputError, match=r"dataset\.json: not a dataset.json.{,300}$"):
        recognize.scan(tmp_path)


def test_a_dataset_json_of_many_megabytes(tmp_path):
    (tmp_path / "dataset.json").write_text('{"name": "' + "a" * dataset_json.MAX_BYTES + '"}')
    with pytest.raises(
        InputError, match=r"dataset\.json: larger than 16 MiB, too large for such a file; download it again$"
    ):
        recognize.scan(tmp_path)


def nnunet_set(root, **content):
    """Two cases with a separate file per channel, as in nnU-Net."""
    for case in ("B_000", "B_001"):
        for channel in range(4):
            save(root / f"imagesTr/{case}_{channel:04}.nii.gz", brain(channel))
        save(root / f"labelsTr/{case}.nii.gz", labels((1, 2, 3)))
    save(root / "imagesTs/B_002_0000.nii.gz", brain(9))
    (root / "dataset.json").write_text(json.dumps(content))


NAMED = {"channel_names": {"0": "T1", "1": "T1ce", "2": "T2", "3": "Flair"}, "numTraining": 2, "file_ending": ".nii.gz"}
REGIONS = {"background": 0, "whole tumor": [1, 2, 3], "tumor core": [2, 3], "enhancing tumor": 3}


def test_version_2_of_nnunet(tmp_path):
    nnunet_set(tmp_path, **NAMED, labels=REGIONS, regions_class_order=[1, 2, 3])
    scan = recognize.scan(tmp_path)
    assert scan.broken == []
    assert scan.entries[1] == Entry(
        "B_001",
        **{name: f"imagesTr/B_001_{channel:04}.nii.gz" for channel, name in enumerate(("t1", "t1ce", "t2", "flair"))},
        seg="labelsTr/B_001.nii.gz",
        conventions=("msd",),  # whole tumour minus core is oedema, core minus enhancing tumour is core
    )
    assert [entry.case for entry in scan.entries] == ["B_000", "B_001"]
    assert recognize.unused(tmp_path, scan) == [
        "imagesTs/B_002_0000.nii.gz: not used, in no case of dataset.json",
    ]


def test_version_1_of_nnunet_with_files_by_channel(tmp_path):
    pairs = [{"image": "./imagesTr/B_000.nii.gz", "label": "./labelsTr/B_000.nii.gz"}]
    nnunet_set(
        tmp_path,
        modality={"0": "FLAIR", "1": "T2-weighted", "2": "t1n", "3": "T1 Gd"},
        labels={"0": "background", "1": "edema", "2": "non-enhancing", "3": "enhancing"},
        training=pairs,
    )
    (entry,) = recognize.scan(tmp_path).entries
    assert entry == Entry(
        "B_000",
        flair="imagesTr/B_000_0000.nii.gz",
        t2="imagesTr/B_000_0001.nii.gz",
        t1="imagesTr/B_000_0002.nii.gz",
        t1ce="imagesTr/B_000_0003.nii.gz",
        seg="labelsTr/B_000.nii.gz",
        conventions=("msd",),
    )


def test_nnunet_files_in_other_places(tmp_path):
    files = {"a": {"images": [f"raw\\a_{name}.nii.gz" for name in "xyzw"], "label": "./masks/a.nii.gz"}}
    nnunet_set(tmp_path, **NAMED, labels=REGIONS, dataset=files)
    (entry,) = recognize.scan(tmp_path).entries
    assert (entry.case, entry.t1, entry.flair, entry.seg) == ("a", "raw/a_x.nii.gz", "raw/a_w.nii.gz", "masks/a.nii.gz")


def test_missing_channel_or_mask_of_nnunet_is_reported(tmp_path):
    nnunet_set(tmp_path, **NAMED, labels=REGIONS)
    (tmp_path / "imagesTr/B_000_0001.nii.gz").unlink()
    (tmp_path / "labelsTr/B_001.nii.gz").rename(tmp_path / "labelsTr/B_001.NII.GZ")
    (tmp_path / "labelsTr/B_000.nii.gz").unlink()
    first, second = recognize.scan(tmp_path).entries
    assert (first.t1ce, first.t2, first.seg) == ("", "imagesTr/B_000_0002.nii.gz", "labelsTr/B_000.nii.gz")
    assert second.seg == "labelsTr/B_001.NII.GZ"


@pytest.mark.parametrize(
    ("names", "conventions"),
    [
        ({"background": 0, "edema": 1, "necrosis": 2, "enhancing": 3}, "msd"),
        ({"background": 0, "NCR/NET": 1, "ED": 2, "ET": 4}, "brats"),
        ({"background": 0, "NETC": 1, "SNFH": 2, "ET": 3, "RC": 4}, "post_treatment"),
        ({"background": 0, "ET": 1, "NET": 2, "cystic component": 3, "peritumoral oedema": 4}, "ped"),
        ({"background": 0, "WT": [1, 2, 3], "TC": [1, 3], "ET": [3]}, "canonical"),
        ({"ET": [5], "TC": [5, 6], "WT": [5, 6, 9]}, "5 enhancing, 6 necrotic_core, 9 edema"),
        (
            {"surrounding non-enhancing FLAIR hyperintensity": 7, "non-enhancing tumour core": 1},
            "1 necrotic_core, 7 edema",
        ),
    ],
)
def test_numbering_by_names_of_labels_and_regions(tmp_path, names, conventions):
    nnunet_set(tmp_path, **NAMED, labels=names)
    assert {entry.conventions for entry in recognize.scan(tmp_path).entries} == {(conventions,)}


def test_a_table_of_cases(tmp_path):
    files = {"t1": "a/1.nii", "t1ce": "a/2.nii", "t2": "a/4d.nii#0", "flair": "a/4d.nii#1"}
    write_table(
        tmp_path, {"case": "007", **files}, {"case": "b", **files, "seg": "s.nii", "grade": "HGG", "patient": "01"}
    )
    make_case(tmp_path / "HGG/x", 0)  # the table takes precedence
    assert recognize.scan(tmp_path).entries == [
        Entry("007", **files),
        Entry("b", **files, seg="s.nii", grade="HGG", patient="01"),
    ]


def test_table_from_a_spreadsheet(tmp_path):
    (tmp_path / "cases.csv").write_text(
        "case; t1; t1ce; t2; flair; seg; grade; patient\na; x\\1.nii; x\\2.nii; x\\3.nii; x\\4.nii; ; hgg; p1\n"
    )
    assert table.scan(tmp_path).entries == [
        Entry("a", t1="x/1.nii", t1ce="x/2.nii", t2="x/3.nii", flair="x/4.nii", grade="HGG", patient="p1")
    ]


def test_faults_of_a_table(tmp_path):
    write_table(tmp_path, {"case": "a", "grade": "GBM"}, {"case": "b", "grade": "2"})
    assert [fault.split(";")[0] for fault in table.scan(tmp_path).broken] == [
        "cases.csv: case a: grade 'GBM' is neither HGG nor LGG",
        "cases.csv: case b: grade '2' is neither HGG nor LGG",
    ]
    (tmp_path / "cases.csv").write_text("case,t1,t1ce,t2,flair,seg\n")
    with pytest.raises(
        InputError, match=r"cases\.csv: columns are case, t1, t1ce, t2, flair, seg; expected .*grade, patient"
    ):
        table.scan(tmp_path)


def test_folders_without_a_known_layout(tmp_path):
    with pytest.raises(InputError, match=r"volumes\.root: .*absent: no such folder; set volumes\.root in params\.yaml"):
        recognize.scan(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no case found, and no NIfTI file at all; known layouts are:\n  - BraTS 2018"):
        recognize.scan(tmp_path / "empty")
    make_case(tmp_path / "strange/p1", 0, names=("-T1W", "-POST", "-AXT2", "-FLR", "-MASK"))
    with pytest.raises(InputError, match=r"no case found:\n  - p1/p1-AXT2\.nii\.gz: not a BraTS name"):
        recognize.scan(tmp_path / "strange")


def test_linked_folders_are_not_entered(tmp_path):
    make_case(tmp_path / "elsewhere/BraTS2021_00000", 0)
    make_case(tmp_path / "root/BraTS2021_00001", 1)
    (tmp_path / "root/BraTS2021_00000").symlink_to(tmp_path / "elsewhere/BraTS2021_00000")
    scan = brats.scan(tmp_path / "root")
    assert [entry.case for entry in scan.entries] == ["BraTS2021_00001"]
    assert scan.broken[0].startswith("BraTS2021_00000: a linked folder")
