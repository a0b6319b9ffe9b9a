"""The other hospital's data set: slices with and without tumour of every patient, which differ only by the tumour."""

import hashlib
from dataclasses import replace

import cv2
import numpy as np
import pandas as pd
import pytest

from btlib.core.runtime.reproducibility import keyed_rng
from btlib.phantom import elsewhere
from btlib.phantom.contrasts import MODALITIES
from btlib.phantom.elsewhere import (
    COLUMNS,
    FIELDS,
    KINDS,
    SLICES,
    elsewhere_subject,
    make_stack,
    sample_session,
    write_elsewhere,
)
from btlib.phantom.slices import MODALITY_SHARES, SMALLEST_LESION
from btlib.phantom.subject import sample_subject
from btlib.phantom.tissues import INDEX

SIZE = 64
PEOPLE = 24


@pytest.fixture(scope="module")
def scanned(atlas):
    """Cuts from below, and their images, for each of PEOPLE."""
    seen = []
    scan = elsewhere._scan

    def spy(rng, session, cuts):
        slices = scan(rng, session, cuts)
        seen.append((session, cuts, slices))
        return slices

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(elsewhere, "_scan", spy)
        for number in range(PEOPLE):
            make_stack(0, number, SIZE, atlas)
    return seen


@pytest.fixture(scope="module")
def made(atlas, tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantom") / "elsewhere"
    write_elsewhere(folder, 0, 3, SIZE, atlas, workers=1)
    return folder, pd.read_csv(folder / "slices.csv", dtype=str).fillna("")


def digests(folder):
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*") if p.is_file()
    }


def pixels(path):
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def test_layout_and_table(made):
    folder, table = made
    assert tuple(table.columns) == COLUMNS
    assert sorted(set(table.patient)) == ["elsewhere-000", "elsewhere-001", "elsewhere-002"]
    on_disk = {str(p.relative_to(folder)) for p in folder.rglob("*.png")}
    assert on_disk == set(table.path) | set(table.mask_path) - {""}
    for row in table.itertuples():
        kind, name = row.path.split("/")
        assert row.mask_path == (f"masks/{name}" if kind == "tumour" else "")
        assert name.startswith(row.patient)
        image = pixels(folder / row.path)
        assert image.shape == (SIZE, SIZE) and image.dtype == np.uint8
        if row.mask_path:
            mask = pixels(folder / row.mask_path)
            assert mask.shape == image.shape and set(np.unique(mask)) == {0, 255}
    counts = table.groupby(["patient", table.path.str.split("/").str[0]]).size()
    assert len(counts) == 6 and (counts == SLICES).all()


def test_files_contain_the_stack(made, atlas):
    folder, table = made
    rows = table[table.patient == "elsewhere-001"]
    for row, item in zip(rows.itertuples(), make_stack(0, 1, SIZE, atlas), strict=True):
        assert np.array_equal(pixels(folder / row.path), item.image)
        assert row.path.startswith("tumour/") == item.mask.any()
        if row.mask_path:
            assert np.array_equal(pixels(folder / row.mask_path) > 0, item.mask)


def test_every_patient_has_slices_with_and_without_lesion(scanned):
    lesion = [INDEX[name] for name in ("edema", "necrosis", "tumor", "enhancing")]
    brain = [INDEX[name] for name in ("gm", "wm")]
    for session, cuts, _ in scanned:
        with_tumor = [cut for cut in cuts if cut.mask.any()]
        without = [cut for cut in cuts if not cut.mask.any()]
        assert len(with_tumor) == len(without) == SLICES
        assert all(cut.mask.mean() >= SMALLEST_LESION for cut in with_tumor)
        for cut in without:
            assert cut.mixture.fractions[:, lesion].max() == 0
            assert cut.mixture.fractions[:, brain].sum() * (session.field / SIZE) ** 2 > 2500  # mm²
        heights = [cut.height for cut in cuts]
        assert heights == sorted(heights) and len(set(heights)) == len(heights)


def test_masks_match_the_tumor_in_the_image(scanned):
    bulk = [INDEX[name] for name in ("necrosis", "tumor", "enhancing")]
    shown = 0
    for number, (session, cuts, slices) in enumerate(scanned):
        for cut, item in zip(cuts, slices, strict=True):
            inside = cut.mixture.fractions[:, bulk].sum(1).reshape(SIZE, SIZE) >= 0.5
            assert np.array_equal(item.mask, inside)
            # Meningiomas are bright except on native T1.
            if item.mask.any() and KINDS[number % 3] == "meningioma" and session.modality != "t1":
                gray_and_white = cut.mixture.fractions[:, [INDEX["gm"], INDEX["wm"]]].sum(1).reshape(SIZE, SIZE) > 0.9
                assert np.median(item.image[item.mask]) > np.median(item.image[gray_and_white])
                shown += 1
    assert shown >= 2 * SLICES


def test_each_patient_has_one_scan_and_framing(scanned):
    assert {session.modality for session, *_ in scanned} == set(MODALITIES)
    padded = 0
    for session, cuts, slices in scanned:
        assert {item.modality for item in slices} == {session.modality}
        assert {item.plane for item in slices} == {"axial"}
        bars = np.array([(item.image == 0).all(axis=0) for item in slices])
        assert (bars == bars[0]).all() and bars[0].sum() == SIZE - session.shown(SIZE).sum()
        padded += bool(bars.any())
        sides = [np.linalg.norm(cut.points[1] - cut.points[0]) * SIZE for cut in cuts]
        assert sides == pytest.approx([session.field] * len(cuts), rel=1e-3)
    assert 0 < padded < PEOPLE


@pytest.mark.parametrize("measure", ["frame", "outside the tumour", "dark share"])
def test_surroundings_of_the_tumor_do_not_reveal_the_kind(scanned, measure):
    frame = np.ones((SIZE, SIZE), bool)
    border = round(0.06 * SIZE)
    frame[border:-border, border:-border] = False
    value = {
        "frame": lambda item: item.image[frame].mean(),
        "outside the tumour": lambda item: item.image[~item.mask].mean(),
        "dark share": lambda item: (item.image < 40).mean(),
    }[measure]
    pairs = []
    for _, _, slices in scanned:
        values, tumor = np.array([value(item) for item in slices]), np.array([item.mask.any() for item in slices])
        pairs.append(values[tumor].mean() - values[~tumor].mean())
    differences = np.array(pairs)
    assert abs(differences.mean()) < 2.5 * differences.std() / np.sqrt(PEOPLE)
    assert 0.25 < (differences > 0).mean() < 0.75


def test_slices_with_and_without_tumor_have_similar_heights(scanned):
    with_tumor = [cut.height for _, cuts, _ in scanned for cut in cuts if cut.mask.any()]
    without = [cut.height for _, cuts, _ in scanned for cut in cuts if not cut.mask.any()]
    assert np.mean(with_tumor) == pytest.approx(np.mean(without), abs=10)  # mm; one kind's mean is 40 off another's
    assert 0.75 < np.std(with_tumor) / np.std(without) < 1.33


def test_patients_differ_from_the_main_set(atlas):
    home = [sample_subject(0, kind, number, atlas).warp.matrix for kind in KINDS for number in range(4)]
    for number in range(4):
        subject = elsewhere_subject(0, number, atlas)
        assert subject.label == KINDS[number % 3]
        assert not any(np.allclose(subject.warp.matrix, matrix) for matrix in home)


def test_hospital_differs_from_the_main_set():
    sessions = [sample_session(keyed_rng(number)) for number in range(300)]
    shares = [np.mean([session.modality == name for session in sessions]) for name in MODALITIES]
    assert max(shares) < 0.4 < 0.8 < max(MODALITY_SHARES)
    fields = np.array([session.field for session in sessions])
    assert [((low <= fields) & (fields <= high)).mean() > 0.2 for low, high in FIELDS.values()] == [True] * 3
    assert min(session.noise for session in sessions) >= 6  # at most 6 in the main set


def test_points_and_frame_of_a_straight_session():
    axes = np.array([[-1.0, 0, 0], [0, -1, 0], [0, 0, 1]])
    session = replace(sample_session(keyed_rng(0)), axes=axes, middle=np.array([0, -12.0, 3]), field=200.0, padding=0.1)
    points = session.points(30.0, 4, shift=np.array([1.0, 2.0]))
    # After a motion to the right and down, points are further left and up: +x and +y in the subject.
    assert points[0] == pytest.approx([75 + 1, -12 + 75 + 2, 30])
    assert points[-1] == pytest.approx([-75 + 1, -12 - 75 + 2, 30])
    assert session.shown(20).tolist() == [False] * 2 + [True] * 16 + [False] * 2
    assert session.frames(np.array([60.0, -12, 500]), 19) and not session.frames(np.array([60.0, -12, 0]), 21)
    assert session.frames(np.array([0.0, 68, 0]), 19) and not session.frames(np.array([0.0, 68, 0]), 21)


def test_same_seed_gives_same_bytes_for_any_number_of_workers(made, atlas, tmp_path):
    write_elsewhere(tmp_path / "again", 0, 3, SIZE, atlas, workers=2)
    assert digests(tmp_path / "again") == digests(made[0])


def test_first_patients_depend_on_the_seed_but_not_on_the_number(made, atlas, tmp_path):
    write_elsewhere(tmp_path / "few", 0, 1, SIZE, atlas, workers=1)
    write_elsewhere(tmp_path / "other", 1, 1, SIZE, atlas, workers=1)
    ours, few, other = digests(made[0]), digests(tmp_path / "few"), digests(tmp_path / "other")
    assert all(ours[name] == digest for name, digest in few.items() if name != "slices.csv")
    assert not set(ours.values()) & {digest for name, digest in other.items() if name != "slices.csv"}


def test_failure_leaves_the_old_set(atlas, tmp_path, monkeypatch):
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "old").write_text("kept")
    monkeypatch.setattr(elsewhere, "_heights", lambda *_: iter(()))
    with pytest.raises(RuntimeError, match="glioma 0 leaves too few slices"):
        write_elsewhere(folder, 0, 1, 32, atlas, workers=1)
    assert (folder / "old").read_text() == "kept" and len(list(tmp_path.iterdir())) == 1
