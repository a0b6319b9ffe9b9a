import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from btlib.core.runtime.artifacts import write_csv
from btlib.core.runtime.errors import InputError
from btlib.images.data.classes import CLASSES
from btlib.images.data.hashing import difference_hash, pixel_sha256
from btlib.images.data.ingest import ingest
from btlib.images.data.manifest import read_manifest
from tests.images.data.samples import make_case, make_class_folders, picture, save


def test_manifest_of_class_folders(class_folders, tmp_path):
    manifest, unreadable = ingest("folder", class_folders, allow_unreadable=False)
    columns = "image_id path label patient source sha256 phash phash_turned width height mask_path"
    assert list(manifest.columns) == columns.split()
    assert len(manifest) == 12
    assert len(unreadable) == 0
    row = manifest.iloc[0]
    assert (row.path, row.label, row.patient, row.source, row.mask_path) == (
        "glioma/00.png",
        "glioma",
        "",
        "folder",
        "",
    )
    assert (row.width, row.height) == (32, 24)
    assert (row.sha256, row.phash) == (pixel_sha256(picture(0)), difference_hash(picture(0)))
    write_csv(tmp_path / "manifest.csv", manifest)
    pd.testing.assert_frame_equal(read_manifest(tmp_path / "manifest.csv"), manifest, check_dtype=False)


def test_many_images_in_separate_processes(tmp_path):
    make_class_folders(tmp_path, per_class=20)
    manifest, _ = ingest("folder", tmp_path, allow_unreadable=False)
    assert manifest.path.tolist() == [f"{name}/{n:02}.png" for name in CLASSES for n in range(20)]
    (tmp_path / "glioma/03.png").write_text("broken")
    with pytest.raises(InputError, match=r"1 fault\(s\):\n  - glioma/03\.png"):
        ingest("folder", tmp_path, allow_unreadable=False)


def test_all_bad_files_in_one_list(class_folders, tmp_path):
    whole = save(class_folders / "glioma/whole.jpg", picture(9, 200, 200)).read_bytes()
    (class_folders / "glioma/truncated.jpg").write_bytes(whole[:900])
    (class_folders / "meningioma/text.jpg").write_text("x")
    (class_folders / "no_tumor/zero.png").touch()
    save(class_folders / "pituitary/dot.png", np.zeros((1, 1, 3), np.uint8))
    save(tmp_path / "outside.png", picture(8))
    (class_folders / "pituitary/out.png").symlink_to(tmp_path / "outside.png")
    bad = ["glioma/truncated.jpg", "meningioma/text.jpg", "no_tumor/zero.png", "pituitary/dot.png", "pituitary/out.png"]
    with pytest.raises(InputError, match=r"5 fault\(s\)") as caught:
        ingest("folder", class_folders, allow_unreadable=False)
    assert all(path in str(caught.value) for path in bad)
    assert "images.allow_unreadable: true" in str(caught.value)

    manifest, unreadable = ingest("folder", class_folders, allow_unreadable=True)
    assert sorted(fault.split(":")[0] for fault in unreadable.fault) == bad
    assert len(manifest) == 13
    assert not set(bad) & set(manifest.path)


def test_broken_layout_is_never_allowed(class_folders):
    shutil.rmtree(class_folders / "pituitary")
    with pytest.raises(InputError, match="no folder for class 'pituitary'"):
        ingest("folder", class_folders, allow_unreadable=True)


def test_only_unreadable_files(tmp_path):
    (tmp_path / "1.mat").touch()
    with pytest.raises(InputError, match="no image found for source 'figshare'"):
        ingest("figshare", tmp_path, allow_unreadable=True)


def test_figshare_manifest(tmp_path):
    make_case(tmp_path / "1.mat", label=1, patient="0042")
    row = ingest("figshare", tmp_path, allow_unreadable=False)[0].iloc[0]
    assert (row.label, row.patient, row.mask_path, row.width, row.height) == ("meningioma", "0042", "1.mat", 40, 32)


def test_a_mask_of_another_size_is_a_fault(tmp_path):
    rows = []
    for k, name in enumerate(CLASSES):
        save(tmp_path / f"{k}.png", picture(k))
        Image.new("L", (32, 24 if k else 25)).save(tmp_path / f"m{k}.png")
        rows.append((f"{k}.png", name, f"P{k}", f"m{k}.png"))
    pd.DataFrame(rows, columns=["path", "label", "patient", "mask_path"]).to_csv(tmp_path / "subjects.csv", index=False)
    with pytest.raises(InputError, match=r"m0\.png: mask of \(25, 32\) rows and columns for 0\.png of \(24, 32\)"):
        ingest("phantom", tmp_path, allow_unreadable=False)
