"""The data set on disk: layout, table, duplicates, determinism."""

import hashlib

import cv2
import numpy as np
import pandas as pd
import pytest

from btlib.phantom.dataset import COLUMNS, Plan, write_dataset
from btlib.phantom.tumors import LABELS
from btlib.report.figures.phantom_slices import COLUMNS as ACROSS
from btlib.report.figures.phantom_slices import ROWS, SIDE, write_sheets

PLAN = Plan(seed=0, subjects_per_class=3, slices_per_subject=2, image_size=48, duplicates=4)


def digests(folder):
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def pixels(path):
    return cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)


@pytest.fixture(scope="module")
def made(atlas, tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantom") / "set"
    write_dataset(folder, PLAN, atlas, workers=1)
    return folder, pd.read_csv(folder / "subjects.csv", dtype=str).fillna("")


def test_layout_and_table(made):
    folder, table = made
    assert tuple(table.columns) == COLUMNS
    assert len(table) == 4 * 3 * 2 + 4 and table.path.is_unique
    assert set(table.label) == set(LABELS)
    on_disk = {str(p.relative_to(folder)) for p in (folder / "images").rglob("*") if p.is_file()}
    assert on_disk == set(table.path)
    assert all(path.split("/")[1] == label for path, label in zip(table.path, table.label, strict=True))
    for row in table.itertuples():
        image = pixels(folder / row.path)
        assert image.shape == (48, 48)
        assert (row.mask_path == "") == (row.label == "no_tumor")
        if row.mask_path:
            mask = pixels(folder / row.mask_path)
            assert mask.shape == image.shape and set(np.unique(mask)) == {0, 255}


def test_patients_have_their_slices_and_one_class(made):
    _, table = made
    known = table[table.patient != ""]
    assert (known.groupby("patient").size() == 2).all()
    assert known.patient.nunique() == 12
    assert (known.groupby("patient").label.nunique() == 1).all()


def test_duplicates_are_copies_without_a_patient(made):
    folder, table = made
    copies, originals = table[table.patient == ""], table[table.patient != ""]
    images = {row.path: pixels(folder / row.path).astype(int) for row in originals.itertuples()}
    assert [path.endswith(".jpg") for path in copies.path] == [False, True, False, False]
    for number, row in enumerate(copies.itertuples()):
        turn = (lambda image: image[:, ::-1]) if number == 2 else (lambda image: image)
        image = turn(pixels(folder / row.path).astype(int))
        apart = {path: np.abs(image - other).mean() for path, other in images.items()}
        nearest = min(apart, key=apart.get)
        original = originals.set_index("path").loc[nearest]
        assert original.label == row.label
        assert (0 < apart[nearest] < 4) if row.path.endswith(".jpg") else apart[nearest] == 0
        if row.mask_path:
            assert (turn(pixels(folder / row.mask_path)) == pixels(folder / original.mask_path)).all()


def test_same_seed_gives_same_bytes_for_any_number_of_workers(made, atlas, tmp_path):
    write_dataset(tmp_path / "again", PLAN, atlas, workers=2)
    assert digests(tmp_path / "again") == digests(made[0])


def test_other_seed_gives_other_images(made, atlas, tmp_path):
    plan = Plan(seed=1, subjects_per_class=3, slices_per_subject=1, image_size=48, duplicates=0)
    write_dataset(tmp_path / "other", plan, atlas, workers=1)
    ours, theirs = digests(made[0]), digests(tmp_path / "other")
    common = [name for name in theirs if name in ours and name.startswith("images/")]
    assert common and not any(ours[name] == theirs[name] for name in common)


def test_adding_subjects_does_not_change_the_first_ones(made, atlas, tmp_path):
    plan = Plan(seed=0, subjects_per_class=1, slices_per_subject=1, image_size=48, duplicates=0)
    write_dataset(tmp_path / "few", plan, atlas, workers=1)
    few, ours = digests(tmp_path / "few"), digests(made[0])
    assert all(ours[name] == digest for name, digest in few.items() if name != "subjects.csv")


def test_failure_leaves_the_old_set(made, atlas, tmp_path, monkeypatch):
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "old").write_text("kept")

    def broken(*_):
        raise RuntimeError("stopped half-way")

    monkeypatch.setattr("btlib.phantom.dataset._write_duplicates", broken)
    with pytest.raises(RuntimeError, match="half-way"):
        write_dataset(folder, Plan(0, 1, 1, 32, 0), atlas, workers=1)
    assert (folder / "old").read_text() == "kept" and len(list(tmp_path.iterdir())) == 1


def test_contact_sheets(made, tmp_path):
    paths = write_sheets(made[0], tmp_path)
    assert [p.name for p in paths] == [f"phantom_{label}.png" for label in LABELS]
    sheet = pixels(paths[0])
    assert sheet.shape == (ROWS * SIDE, ACROSS * SIDE)
    assert sheet[:SIDE, :SIDE].max() > 60 and sheet[SIDE:].max() == 0
