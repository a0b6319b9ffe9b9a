import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from btlib.core.runtime.artifacts import write_csv
from btlib.core.runtime.errors import InputError
from btlib.core.runtime.isolation import Lost
from btlib.volumes.data.ingest import ingest
from btlib.volumes.data.manifest import read_manifest
from btlib.volumes.data.reading import read_case
from tests.volumes.data.volume_samples import (
    AFFINE,
    NEW,
    brain,
    labels,
    make_brats2020,
    make_case,
    make_msd,
    save,
    write_table,
)

UNCONFIRMED = "the scans cannot confirm it: check it, and set volumes.labels in params.yaml"


def refusal(root, resample=False) -> str:
    with pytest.raises(InputError, match=r"^volumes\.root: .* fault\(s\):\n") as caught:
        ingest(root, resample)
    return str(caught.value)


def test_the_manifest(tmp_path):
    names = make_brats2020(tmp_path, "HL")
    manifest, warnings = ingest(tmp_path, resample=False)
    header = "case patient grade t1 t1ce t2 flair seg labels shape spacing"
    assert list(manifest.columns) == header.split()
    (warning,) = warnings
    assert warning.startswith(
        "the labels are read as brats (1 necrotic_core, 2 edema, 4 enhancing); no segmentation has two"
    )
    assert warning.endswith(UNCONFIRMED)
    assert manifest.iloc[0].to_dict() == {
        "case": names[0],
        "patient": names[0],
        "grade": "HGG",
        **{kind: f"{names[0]}/{names[0]}_{kind}.nii.gz" for kind in ("t1", "t1ce", "t2", "flair", "seg")},
        "labels": "brats",
        "shape": "8x9x10",
        "spacing": "1.000x1.000x1.000",
    }
    write_csv(tmp_path / "manifest.csv", manifest)
    pd.testing.assert_frame_equal(read_manifest(tmp_path / "manifest.csv"), manifest)


def test_every_row_can_be_read_again(tmp_path):
    make_msd(tmp_path)
    manifest, _ = ingest(tmp_path, resample=False)
    assert manifest["labels"].tolist() == ["msd", "msd"]
    images, seg, *_ = read_case(tmp_path, manifest.iloc[1], resample=False)
    assert (images == [brain(11), brain(12), brain(13), brain(10)]).all()
    assert seg[2, 4, 2] == 2


def test_many_cases_in_separate_processes(tmp_path):
    names = make_brats2020(tmp_path, "HLHLH")
    assert ingest(tmp_path, resample=False)[0]["case"].tolist() == names
    (tmp_path / names[3] / f"{names[3]}_t2.nii.gz").unlink()
    assert f"1 fault(s):\n  - case {names[3]}: no t2 volume; add the file" in refusal(tmp_path)


def test_all_faults_of_all_cases_in_one_list(tmp_path):
    names = make_brats2020(tmp_path, "HLHLHLHL", numbers=(1, 2))
    volumes = [tmp_path / name / name for name in names]

    def file(number, kind):
        return volumes[number].with_name(f"{names[number]}_{kind}.nii.gz")

    file(0, "t1ce").unlink()
    save(file(1, "flair"), brain(5, (8, 9, 11)))
    spoilt = brain(6).astype(np.float32)
    spoilt[4, 4, 4] = np.nan
    save(file(2, "t1"), spoilt)
    save(file(3, "t2"), np.zeros((8, 9, 10), np.int16))
    save(file(4, "seg"), labels((1, 7)))
    file(5, "t1").write_bytes(file(5, "t1").read_bytes()[:200])
    mapping = tmp_path / "name_mapping.csv"
    mapping.write_text(mapping.read_text().replace(f"HGG,NA,{names[6]}", f"3,NA,{names[6]}"))
    make_case(tmp_path / "copy" / names[7], 70)
    save(file(2, "seg"), labels((1, 9)))
    message = refusal(tmp_path)
    expected = [
        f"name_mapping.csv: case {names[6]}: grade '3' is neither HGG nor LGG",
        f"case {names[7]}: twice, {names[7]}/{names[7]}_t1ce.nii.gz and copy/{names[7]}/{names[7]}_t1ce.nii.gz",
        f"case {names[0]}: no t1ce volume",
        f"case {names[1]}: not on the grid of",
        f"{names[2]}_t1.nii.gz: 1 voxels are NaN or infinite",
        f"{names[2]}_seg.nii.gz: unknown label 9",
        f"{names[3]}_t2.nii.gz: blank, every voxel is 0",
        f"{names[4]}_seg.nii.gz: unknown label 7",
        f"{names[5]}_t1.nii.gz: not a valid NIfTI file",
    ]
    assert [part for part in expected if part not in message] == []
    assert f"{len(expected)} fault(s)" in message


def test_same_scan_under_two_names(tmp_path):
    first, second = make_brats2020(tmp_path, "HL")
    save(tmp_path / second / f"{second}_t1ce.nii.gz", brain(1))
    assert f"cases {first}, {second}: the same t1ce volume, so one case under several names" in refusal(tmp_path)


def test_table_that_repeats_a_file_or_a_case(tmp_path):
    for key in range(5):
        save(tmp_path / f"{key}.nii", brain(key))
    files = {"t1": "0.nii", "t1ce": "1.nii", "t2": "2.nii", "flair": "3.nii"}
    write_table(
        tmp_path,
        {"case": "a", **files},
        {"case": "a", **files, "t1ce": "4.nii"},
        {"case": "b/c", **files, "t2": "0.nii"},
    )
    message = refusal(tmp_path)
    assert "case a: twice, 1.nii and 4.nii; remove one" in message
    assert "case 'b/c': the name is used for a file" in message
    write_table(tmp_path, {"case": "a", **files, "t2": "0.nii"}, {"case": "b", **files, "t1": "../0.nii"})
    message = refusal(tmp_path)
    assert "case a: 0.nii is used for more than one of t1, t1ce, t2, flair, seg" in message
    assert "../0.nii: leads out of its root folder" in message


@pytest.mark.parametrize(("numbers", "convention"), [((1, 2, 4), "brats"), ((1, 2, 3), "canonical"), ((1, 2), "brats")])
def test_3_is_enhancing_if_the_set_has_no_4(tmp_path, numbers, convention):
    names = make_brats2020(tmp_path, "HL", numbers=(1, 2))
    save(tmp_path / names[1] / f"{names[1]}_seg.nii.gz", labels(numbers))
    assert ingest(tmp_path, resample=False)[0]["labels"].tolist() == [convention] * 2


def test_3_and_4_in_one_set_are_refused(tmp_path):
    names = make_brats2020(tmp_path, "HL")
    save(tmp_path / names[1] / f"{names[1]}_seg.nii.gz", labels((1, 2, 3)))
    assert f"use two numberings: {names[0]}/" in refusal(tmp_path)


def test_two_kinds_of_sets_together(tmp_path):
    make_case(tmp_path / "BraTS2021_00000", 0)
    make_case(tmp_path / "BraTS-GLI-00003-000", 1, NEW, (1, 2, 3))
    make_case(tmp_path / "BraTS-GLI-00004-000", 2, NEW, numbers=())
    manifest, warnings = ingest(tmp_path, resample=False)
    assert manifest["labels"].tolist() == ["canonical", "", "brats"]
    assert manifest["patient"].tolist() == ["BraTS-GLI-00003", "BraTS-GLI-00004", "BraTS2021_00000"]
    assert warnings[0] == "case BraTS-GLI-00004-000: neither segmentation nor grade: cannot be used for training"
    assert [warning.endswith(UNCONFIRMED) for warning in warnings[1:]] == [True, True]
    save(tmp_path / "BraTS-GLI-00003-000/BraTS-GLI-00003-000-seg.nii.gz", labels((1, 2, 3, 4)))
    assert ingest(tmp_path, resample=False)[0]["labels"].tolist() == ["post_treatment", "", "brats"]


def test_raw_scans_with_skull_on_their_own_grids(tmp_path):
    thick = nib.affines.from_matvec(np.diag([-0.9, -0.9, 5.5]), [4, 4, -5])
    for key, name in enumerate(("t1", "t1ce", "t2")):
        save(tmp_path / f"{name}.nii.gz", brain(key, (16, 17, 9)) + 20, thick)
    save(tmp_path / "flair.nii.gz", brain(3, (20, 21, 10)) + 20, thick)
    files = {name: f"{name}.nii.gz" for name in ("t1", "t1ce", "t2", "flair")}
    write_table(tmp_path, {"case": "raw", **files, "grade": "LGG"})
    message = refusal(tmp_path)
    assert "case raw: not on the grid of" in message and "volumes.resample: true" in message
    manifest, warnings = ingest(tmp_path, resample=True)
    assert manifest.iloc[0][["shape", "spacing", "labels"]].tolist() == ["16x17x9", "0.900x0.900x5.500", ""]
    assert warnings == [
        "case raw: flair resampled to the grid of t1ce by headers, without motion correction",
        "case raw: t1, t1ce, t2, flair: almost no background is 0: skull present, or noise in the air? "
        "The network expects skull-stripped scans",
        "case raw: t1, t1ce, t2: covers only part of the others (t1 70.2%, t1ce 70.2%, t2 70.2%, flair 100.0%)",
    ]


def test_brain_that_fills_half_of_its_box_is_not_reported_as_skull(tmp_path):
    radius = np.linalg.norm(np.indices((16, 16, 16)) - 7.5, axis=0)
    for key, name in enumerate(("t1", "t1ce", "t2", "flair")):
        ball = np.where(radius < 8, 100 + key, 0).astype(np.int16)
        assert 0.5 < np.count_nonzero(ball) / ball.size < 0.55
        save(tmp_path / f"{name}.nii", ball, AFFINE)
    files = {name: f"{name}.nii" for name in ("t1", "t1ce", "t2", "flair")}
    write_table(tmp_path, {"case": "ball", **files, "grade": "HGG"})
    assert ingest(tmp_path, resample=False)[1] == []


def test_stated_numbering(tmp_path):
    make_brats2020(tmp_path, "HL", numbers=(1, 2, 3))
    manifest, warnings = ingest(tmp_path, resample=False, labels="msd")
    assert manifest["labels"].tolist() == ["msd", "msd"]
    assert warnings[0].startswith(
        "the labels are read as msd (1 edema, 2 necrotic_core, 3 enhancing); no segmentation has two"
    )
    with pytest.raises(InputError, match=r"unknown label 3, expected 0, 1, 2 \(1 edema, 2 necrotic_core\); set"):
        ingest(tmp_path, resample=False, labels="1 edema, 2 necrotic_core")


def tumors(root, numbers: dict[str, int], count=3, others: dict[str, int] | None = None, odd=0) -> None:
    """Cases with a ball of core within a shell of enhancing tumour within oedema, listed in cases.csv.

    Oedema is bright on FLAIR, enhancing tumour is brighter on T1ce than on T1, everything else is noise. The first
    `odd` are numbered as `others`.
    """
    radius = np.linalg.norm(np.indices((16, 16, 16)) - 7.5, axis=0)
    tissue = np.select(
        [radius < 2, radius < 3.5, radius < 5.5, radius < 8], ["necrotic_core", "enhancing", "edema", "brain"], "air"
    )
    rows = []
    for key in range(count):
        noise = np.random.default_rng(key)
        for name in ("t1", "t1ce", "t2", "flair"):
            values = np.where(tissue == "air", 0, noise.normal(500, 30, tissue.shape))
            values[tissue == {"t1ce": "enhancing", "flair": "edema"}.get(name, "")] += 150
            save(root / f"{key}_{name}.nii", values.astype(np.float32), AFFINE)
        seg = np.vectorize(lambda name, of=others if key < odd else numbers: of.get(name, 0))(tissue).astype(np.uint8)
        files = {name: f"{key}_{name}.nii" for name in ("t1", "t1ce", "t2", "flair", "seg")}
        save(root / f"{key}_seg.nii", seg, AFFINE)
        rows.append({"case": f"c{key}", **files, "grade": "HGG"})
    write_table(root, *rows)


def test_numbering_confirmed_by_the_scans_gives_no_warning(tmp_path):
    tumors(tmp_path, {"necrotic_core": 1, "edema": 2, "enhancing": 3})
    manifest, warnings = ingest(tmp_path, resample=False)
    assert (set(manifest["labels"]), warnings) == ({"canonical"}, [])


@pytest.mark.parametrize(
    ("numbers", "right"),
    [
        ({"edema": 1, "necrotic_core": 2, "enhancing": 3}, "msd"),
        ({"enhancing": 1, "necrotic_core": 2, "edema": 4}, "ped"),
        ({"enhancing": 1, "edema": 2, "necrotic_core": 3}, "{1: enhancing, 2: edema, 3: necrotic_core}"),
    ],
)
def test_worse_fitting_numbering_is_refused(tmp_path, numbers, right):
    tumors(tmp_path, numbers)
    message = refusal(tmp_path)
    assert "fits the scans better (in 3 case(s)" in message
    assert f"set the right one in params.yaml, volumes.labels: {right} or " in message


MSD, CANONICAL = (
    {"edema": 1, "necrotic_core": 2, "enhancing": 3},
    {"necrotic_core": 1, "edema": 2, "enhancing": 3},
)


@pytest.mark.parametrize(("odd", "count"), [(1, 4), (2, 4)])
def test_cases_of_another_numbering_in_one_set_are_named(tmp_path, odd, count):
    """Both are numbered 1-2-3, so only the scans distinguish them."""
    tumors(tmp_path, CANONICAL, count, MSD, odd)
    for stated in ("auto", "canonical"):
        manifest, warnings = ingest(tmp_path, resample=False, labels=stated)
        assert set(manifest["labels"]) == {"canonical"}
        assert [f"{key}_seg.nii" for key in range(odd)] == [text.split(":")[0] for text in warnings[:odd]]
        assert "the labels of its set are read as canonical (" in warnings[0]
        assert "but msd (1 edema, 2 necrotic_core, 3 enhancing) fits the scans of this case better" in warnings[0]


def test_set_of_which_most_contradict_the_layout_gets_one_message(tmp_path):
    tumors(tmp_path, MSD, 4, CANONICAL, 1)
    message = refusal(tmp_path)
    assert "1 fault(s)" in message and "volumes.labels: msd or canonical" in message
    _, (warning,) = ingest(tmp_path, resample=False, labels="msd")
    assert warning.startswith("0_seg.nii: the labels of its set are read as msd (")


def test_stated_numbering_overrides_the_scans_with_a_warning(tmp_path):
    tumors(tmp_path, {"edema": 1, "necrotic_core": 2, "enhancing": 3}, count=1)
    manifest, (warning,) = ingest(tmp_path, resample=False, labels="canonical")
    assert manifest["labels"].tolist() == ["canonical"]
    assert "read as canonical (1 necrotic_core, 2 edema, 3 enhancing), but msd (1 edema, 2 necrotic_core, " in warning
    assert ingest(tmp_path, resample=False, labels="msd")[1] == []


def test_case_that_crashes_its_process_is_named(tmp_path, monkeypatch):
    names = make_brats2020(tmp_path, "HL")
    lost = [Lost("crashed the program that decodes it"), Lost("took more than 300 s")]
    monkeypatch.setattr("btlib.volumes.data.ingest.in_isolation", lambda *_, **__: lost)
    message = refusal(tmp_path)
    assert f"2 fault(s):\n  - case {names[0]}: crashed the program that decodes it\n" in message
    assert f"  - case {names[1]}: took more than 300 s" in message
