import os
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from btlib.core.runtime.errors import InputError
from btlib.images.data.classes import CLASSES
from btlib.images.data.sources import figshare, folder, phantom
from btlib.images.data.sources.entry import Entry, Request
from tests.images.data.samples import make_case, make_class_folders, picture, save


@pytest.mark.parametrize(
    "names",
    [
        CLASSES,
        ("glioma_tumor", "meningioma_tumor", "no_tumor", "pituitary_tumor"),  # SARTAJ
        ("Glioma", "MENINGIOMA", "notumor", "Pituitary-Tumor"),
    ],
)
def test_kaggle_and_sartaj_layouts(tmp_path, names):
    for part in ("Training", "Testing"):
        make_class_folders(tmp_path / part, per_class=2, names=names)
    scan = folder.scan(Request(tmp_path))
    assert (scan.broken, scan.unreadable) == ([], [])
    assert [entry.path for entry in scan.entries] == sorted(entry.path for entry in scan.entries)
    found = {(entry.path, entry.label) for entry in scan.entries}
    expected = {
        (f"{part}/{name}/{n:02}.png", label)
        for part in ("Training", "Testing")
        for name, label in zip(names, CLASSES, strict=True)
        for n in range(2)
    }
    assert found == expected


def test_label_comes_from_any_depth(class_folders):
    save(class_folders / "site A/glioma/patient 3/slice.PNG", picture(1))
    assert Entry("site A/glioma/patient 3/slice.PNG", "glioma") in folder.scan(Request(class_folders)).entries


def test_junk_is_ignored_but_unknown_files_are_reported(class_folders):
    for name in (".DS_Store", "Thumbs.db", "readme.txt", "._00.png", "labels.csv"):
        (class_folders / "glioma" / name).write_text("x")
    (class_folders / "__MACOSX/glioma").mkdir(parents=True)
    save(class_folders / ".ipynb_checkpoints/metastasis/00.png", picture(1))
    (class_folders / "glioma/scan.dcm").write_text("x")
    (class_folders / "archive.zip").write_text("x")
    scan = folder.scan(Request(class_folders))
    assert scan.broken == []
    assert [fault.split(":")[0] for fault in scan.unreadable] == ["archive.zip", "glioma/scan.dcm"]
    assert "not a supported kind" in scan.unreadable[0]
    assert len(scan.entries) == 12


def test_every_layout_fault_is_named(class_folders):
    (class_folders / "Training/meningioma").mkdir(parents=True)
    save(class_folders / "metastasis/a.png", picture(1))
    save(class_folders / "loose.png", picture(2))
    save(class_folders / "glioma/no tumor/a.png", picture(3))
    for file in (class_folders / "pituitary").iterdir():
        file.unlink()
    (class_folders / "pituitary").rmdir()
    broken = folder.scan(Request(class_folders)).broken
    assert len(broken) == 5
    for part in (
        "unknown class folder 'metastasis' with 1 image(s); known names",
        "no class folder for 1 image(s)",
        "glioma/no tumor: images inside the folders of both glioma and no_tumor",
        "Training/meningioma: class folder without images",
        "no folder for class 'pituitary'",
    ):
        assert sum(part in fault for fault in broken) == 1, part


def test_links(class_folders, tmp_path):
    save(tmp_path / "elsewhere/a.png", picture(1))
    (class_folders / "glioma/out.png").symlink_to(tmp_path / "elsewhere/a.png")
    (class_folders / "glioma/inside.png").symlink_to(class_folders / "glioma/00.png")
    (class_folders / "glioma/more").symlink_to(tmp_path / "elsewhere")
    scan = folder.scan(Request(class_folders))
    assert [fault.split(";")[0] for fault in scan.unreadable] == [
        "glioma/more: a linked folder",
        f"glioma/out.png: leads out of its root folder to {tmp_path / 'elsewhere/a.png'}",
    ]
    assert scan.broken == []
    assert Entry("glioma/inside.png", "glioma") in scan.entries


def test_bad_files_do_not_stop_a_folder(class_folders, monkeypatch):
    glioma = class_folders / "glioma"
    (glioma / "dangling.png").symlink_to(class_folders / "nowhere.png")
    (glioma / "loop.png").symlink_to(glioma / "loop.png")
    (glioma / "round").symlink_to(class_folders)
    os.mkfifo(glioma / "pipe.png")
    (glioma / "locked").mkdir()
    scandir = os.scandir

    def refusing(folder):  # root may read any folder
        if str(folder).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refusing)
    scan = folder.scan(Request(class_folders))
    assert scan.broken == []
    assert len(scan.entries) == 12
    assert sorted(fault.split(" (")[0].split(";")[0] for fault in scan.unreadable) == [
        "glioma/dangling.png: no such file",
        "glioma/locked: an unreadable folder",
        "glioma/loop.png: unusable path",
        "glioma/pipe.png: not a regular file, but a folder, pipe or device",
        "glioma/round: a linked folder",
    ]


def test_a_root_with_a_name_that_is_too_long(tmp_path):
    with pytest.raises(InputError, match=r"images\.root: .*File name too long; set images\.root"):
        folder.scan(Request(tmp_path / ("x" * 300)))


def test_name_that_is_not_text(class_folders):
    (class_folders / "glioma" / b"\xff.png".decode(errors="surrogateescape")).write_bytes(b"x")
    assert ["not UTF-8" in fault for fault in folder.scan(Request(class_folders)).unreadable] == [True]


@pytest.mark.parametrize("scan", [folder.scan, phantom.scan, figshare.scan])
def test_root_that_is_not_a_folder(tmp_path, scan):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"images\.root: .*absent: no such folder; set images\.root"):
        scan(Request(tmp_path / "absent"))
    with pytest.raises(InputError, match="is a file, not a folder"):
        scan(Request(tmp_path / "file"))


def subjects(root, **changes):
    rows = [
        {"path": f"{name}/s{k}.png", "label": name, "patient": f"P{k}", "mask_path": f"masks/s{k}.png"}
        for k, name in enumerate(CLASSES)
    ]
    for k, row in enumerate(rows):
        save(root / row["path"], picture(k))
        Image.fromarray(np.eye(24, 32, dtype=np.uint8)).save(save(root / row["mask_path"], picture(k)))
    table = pd.DataFrame(rows).assign(**changes)
    table.to_csv(root / "subjects.csv", index=False)
    return table


def test_phantom_gives_patients_and_masks(tmp_path):
    table = subjects(tmp_path)
    scan = phantom.scan(Request(tmp_path))
    assert (scan.broken, scan.unreadable) == ([], [])
    assert scan.entries == [Entry(*row) for row in table.itertuples(index=False)]


def test_phantom_faults(tmp_path):
    subjects(tmp_path, label=["glioma", "glioma", "metastasis", "pituitary"])
    (tmp_path / "pituitary/s3.png").unlink()
    scan = phantom.scan(Request(tmp_path))
    assert scan.unreadable == ["pituitary/s3.png: no such file (a dangling link, or moved since the scan)"]
    assert scan.broken == [
        "subjects.csv: unknown label 'metastasis'",
        "subjects.csv: no image of class 'meningioma'",
        "subjects.csv: no image of class 'no_tumor'",
    ]


def test_phantom_without_its_table_or_a_column(tmp_path):
    with pytest.raises(InputError, match=r"subjects\.csv: no such file"):
        phantom.scan(Request(tmp_path))
    (tmp_path / "subjects.csv").write_text("path,label\na.png,glioma\n")
    with pytest.raises(
        InputError, match=r"subjects\.csv: columns are path, label; expected path, label, patient, mask_path"
    ):
        phantom.scan(Request(tmp_path))


@pytest.mark.parametrize("path", ["a\0b.png", "x" * 300 + ".png", "../../etc/passwd", "loop.png", "1.mat"])
def test_phantom_with_an_impossible_path(tmp_path, path):
    table = subjects(tmp_path)
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    make_case(tmp_path / "1.mat")
    table.loc[0, "path"] = path
    table.to_csv(tmp_path / "subjects.csv", index=False)
    scan = phantom.scan(Request(tmp_path))
    assert len(scan.unreadable) == 1 and len(scan.entries) == 3


def test_phantom_from_a_spreadsheet(tmp_path):
    subjects(tmp_path)
    text = (tmp_path / "subjects.csv").read_text().replace("/", "\\").replace(",", "; ")
    (tmp_path / "subjects.csv").write_text(text, encoding="utf-8-sig")
    scan = phantom.scan(Request(tmp_path))
    assert [entry.path for entry in scan.entries] == [f"{name}/s{k}.png" for k, name in enumerate(CLASSES)]


def test_figshare_gives_labels_patients_and_masks(tmp_path):
    make_case(tmp_path / "1-766/1.mat", label=1, patient="100360")
    make_case(tmp_path / "1-766/2.mat", label=2, patient="MR017260F")
    make_case(tmp_path / "767-1532/800.mat", label=3, patient="112649")
    (tmp_path / "cvind.mat").write_bytes(b"fold numbers, included in the set")
    (tmp_path / "README.txt").touch()
    scan = figshare.scan(Request(tmp_path))
    assert (scan.broken, scan.unreadable) == ([], [])
    assert scan.entries == [
        Entry("1-766/1.mat", "meningioma", "100360", "1-766/1.mat"),
        Entry("1-766/2.mat", "glioma", "MR017260F", "1-766/2.mat"),
        Entry("767-1532/800.mat", "pituitary", "112649", "767-1532/800.mat"),
    ]


def test_figshare_files_that_crash_their_reader_are_left_out(tmp_path, monkeypatch):
    """Crashes of HDF5 differ between releases, so the crash is simulated; see test_inspection."""
    make_case(tmp_path / "1.mat")
    monkeypatch.setattr(figshare, "_entry", partial(_die_on, "2.mat"))
    make_case(tmp_path / "2.mat")
    scan = figshare.scan(Request(tmp_path))
    assert [entry.path for entry in scan.entries] == ["1.mat"]
    assert scan.unreadable == ["2.mat: crashed the program that decodes it: damaged or malicious"]


def _die_on(victim: str, root: Path, path: str) -> Entry:
    if path == victim:
        os.abort()
    return Entry(path, "glioma", "", path)


def test_figshare_faults_are_collected(tmp_path):
    make_case(tmp_path / "1.mat", leave_out="PID")
    make_case(tmp_path / "2.mat", label=7)
    (tmp_path / "3.mat").write_bytes(b"")
    scan = figshare.scan(Request(tmp_path))
    assert scan.entries == []
    assert [fault.split(" (")[0] for fault in scan.unreadable] == [
        "1.mat: no field cjdata/PID; a Figshare case has cjdata/label, PID, image and tumorMask",
        "2.mat: cjdata/label is 7, expected 1, 2 or 3",
        "3.mat: not a valid MATLAB v7.3 file",
    ]
