import json

import pytest

from btlib.data.volumes.sources import brats, msd, recognise, table
from btlib.data.volumes.sources.entry import Entry
from btlib.errors import InputError
from tests.data.volumes.volume_samples import NEW, OLD, make_brats2020, make_case, make_msd, write_table


def files_of(folder: str, names=OLD, suffix=".nii.gz", seg=True) -> dict[str, str]:
    case = folder.rsplit("/")[-1]
    kinds = ("t1", "t1ce", "t2", "flair", "seg")
    return {
        kind: f"{folder}/{case}{name}{suffix}" for kind, name in zip(kinds, names, strict=True) if seg or kind != "seg"
    }


def test_brats_2018_and_2019_grades_by_folder(tmp_path):
    make_case(tmp_path / "HGG/Brats18_TCIA02_314_1", 0)
    make_case(tmp_path / "LGG/Brats18_2013_9_1", 1)
    scan = recognise.scan(tmp_path)
    assert scan.broken == []
    assert scan.entries == [
        Entry("Brats18_TCIA02_314_1", **files_of("HGG/Brats18_TCIA02_314_1"), grade="HGG"),
        Entry("Brats18_2013_9_1", **files_of("LGG/Brats18_2013_9_1"), grade="LGG"),
    ]


def test_brats_2020_grades_by_table(tmp_path):
    data = tmp_path / "MICCAI_BraTS2020_TrainingData"  # as unpacked: one folder down
    names = make_brats2020(data, "HL-", suffix=".nii")
    scan = recognise.scan(tmp_path)
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
    assert recognise.scan(tmp_path).entries == [
        Entry("BraTS2021_00000", **files_of("BraTS2021_00000")),
        Entry("BraTS2021_00002", **files_of("BraTS2021_00002", seg=False)),
    ]


def test_brats_2023_names_carry_the_patient(tmp_path):
    for key, name in enumerate(("BraTS-GLI-00005-000", "BraTS-GLI-00005-001")):
        make_case(tmp_path / name, key, NEW)
    entries = recognise.scan(tmp_path).entries
    assert entries[0] == Entry(
        "BraTS-GLI-00005-000",
        **files_of("BraTS-GLI-00005-000", NEW),
        patient="BraTS-GLI-00005",
        conventions=("canonical",),
    )
    assert [entry.patient for entry in entries] == ["BraTS-GLI-00005"] * 2


def test_brats_faults(tmp_path):
    names = make_brats2020(tmp_path, "HLH")
    make_case(tmp_path / "LGG" / names[0], 9)
    make_case(tmp_path / names[1], 1, suffix=".nii")
    mapping = (tmp_path / "name_mapping.csv").read_text()
    (tmp_path / "name_mapping.csv").write_text(mapping.replace("LGG", "IV") + f"LGG,NA,{names[2]}\n")
    (tmp_path / names[2] / "W39_1998.09.19_Segm.nii").touch()  # as the public copy has it for case 355
    (tmp_path / "other").mkdir()
    (tmp_path / "other/name_mapping.csv").write_text("Grade,BraTS_2020_subject_ID\nHGG,BraTS20_Training_999\n")
    (tmp_path / "third").mkdir()
    (tmp_path / "third/name_mapping.csv").write_text("grade,case\nHGG,1\n")
    broken = brats.scan(tmp_path).broken
    for part in (
        f"{names[1]}/{names[1]}_t1.nii.gz: {names[1]}/{names[1]}_t1.nii is there too; keep one of them",
        f"{names[2]}/W39_1998.09.19_Segm.nii: not a name that BraTS gives",
        f"name_mapping.csv: case {names[1]}: grade 'IV' is neither HGG nor LGG; correct it, or leave it empty",
        f"name_mapping.csv: case {names[2]}: graded HGG and LGG; correct one of them",
        "other/name_mapping.csv: names none of the cases",
        "third/name_mapping.csv: expected a column Grade and one of BraTS_2017_subject_ID",
        f"LGG/{names[0]}: HGG and LGG at once, by its folders and name_mapping.csv",
    ):
        assert sum(part in fault for fault in broken) == 1, part
    assert len(broken) == 6 + 5, "each of the five volumes of one case is there twice"


def test_the_decathlon(tmp_path):
    make_msd(tmp_path)
    scan = recognise.scan(tmp_path)
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
        ({"modality": {"0": "CT"}}, r"modality is \['ct'\], in Task01_BrainTumour it is .*; list such a set in cases"),
        ({"labels": {"0": "background", "1": "liver"}}, "labels is .*'liver'"),
        ({"training": ["./imagesTr/a.nii.gz"]}, "not a table of contents of the Decathlon"),
        ({"modality": None}, "not a table of contents of the Decathlon"),
    ],
)
def test_a_dataset_json_of_something_else(tmp_path, change, message):
    content = make_msd(tmp_path)
    (tmp_path / "dataset.json").write_text(json.dumps(content | change))
    with pytest.raises(InputError, match=rf"dataset\.json: {message}"):
        msd.scan(tmp_path)


def test_a_dataset_json_that_is_none(tmp_path):
    (tmp_path / "dataset.json").write_text("{")
    with pytest.raises(InputError, match=r"dataset\.json: not a table of contents"):
        recognise.scan(tmp_path)


def test_a_table_of_cases(tmp_path):
    files = {"t1": "a/1.nii", "t1ce": "a/2.nii", "t2": "a/4d.nii#0", "flair": "a/4d.nii#1"}
    write_table(
        tmp_path, {"case": "007", **files}, {"case": "b", **files, "seg": "s.nii", "grade": "HGG", "patient": "01"}
    )
    make_case(tmp_path / "HGG/x", 0)  # the table rules
    assert recognise.scan(tmp_path).entries == [
        Entry("007", **files),
        Entry("b", **files, seg="s.nii", grade="HGG", patient="01"),
    ]


def test_faults_of_a_table(tmp_path):
    write_table(tmp_path, {"case": "a", "grade": "GBM"}, {"case": "b", "grade": "hgg"})
    assert [fault.split(";")[0] for fault in table.scan(tmp_path).broken] == [
        "cases.csv: case a: grade 'GBM' is neither HGG nor LGG",
        "cases.csv: case b: grade 'hgg' is neither HGG nor LGG",
    ]
    (tmp_path / "cases.csv").write_text("case,t1,t1ce,t2,flair,seg\n")
    with pytest.raises(InputError, match=r"cases\.csv: no column grade, patient; add it"):
        table.scan(tmp_path)


def test_folders_without_a_known_layout(tmp_path):
    with pytest.raises(InputError, match=r"volumes\.root: .*absent: no such folder; set volumes\.root in params\.yaml"):
        recognise.scan(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no case found, and no NIfTI file at all; known layouts are:\n  - BraTS 2018"):
        recognise.scan(tmp_path / "empty")
    make_case(tmp_path / "strange/p1", 0, names=("-T1W", "-POST", "-T2W", "-FLR", "-MASK"))
    with pytest.raises(InputError, match=r"no case found:\n  - p1/p1-FLR\.nii\.gz: not a name that BraTS gives"):
        recognise.scan(tmp_path / "strange")


def test_linked_folders_are_not_entered(tmp_path):
    make_case(tmp_path / "elsewhere/BraTS2021_00000", 0)
    make_case(tmp_path / "root/BraTS2021_00001", 1)
    (tmp_path / "root/BraTS2021_00000").symlink_to(tmp_path / "elsewhere/BraTS2021_00000")
    scan = brats.scan(tmp_path / "root")
    assert [entry.case for entry in scan.entries] == ["BraTS2021_00001"]
    assert scan.broken[0].startswith("BraTS2021_00000: a linked folder")
