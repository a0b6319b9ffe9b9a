"""Volumes of patients with graded gliomas: their content, and the data set on disk."""

import hashlib
import runpy
from dataclasses import replace
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML
from scipy import ndimage

from btlib.core.runtime.reproducibility import keyed_rng
from btlib.phantom.brain import paint_brain
from btlib.phantom.contrasts import MODALITIES, intensities
from btlib.phantom.gliomas import GRADES, UNTYPICAL, sample_glioma
from btlib.phantom.head import paint_head
from btlib.phantom.scanners import IN_PLANE, SCANNERS, sample_scanner
from btlib.phantom.subject import sample_subject
from btlib.phantom.tissues import INDEX, Mixture
from btlib.phantom.tumors import paint_tumor
from btlib.phantom.varied_volumes import varied_volumes
from btlib.phantom.volume_set import COLUMNS, case_grades, write_volume_set
from btlib.phantom.volumes import BRATS_LABELS, USUAL, Stripping, _moved, make_volumes, scan, voxel_grid
from btlib.report.figures.phantom_volumes import HEIGHT, PATIENTS, contact_sheet

ROOT = Path(__file__).parents[2]
SPACING = 5.0
PATIENT_NUMBERS = range(6)


@pytest.fixture(scope="module")
def patients(atlas):
    return {grade: [make_volumes(0, grade, number, SPACING, atlas) for number in PATIENT_NUMBERS] for grade in GRADES}


@pytest.fixture(scope="module")
def everyone(patients):
    return [volumes for grade in GRADES for volumes in patients[grade]]


@pytest.fixture(scope="module")
def made(atlas, tmp_path_factory):
    folder = tmp_path_factory.mktemp("volumes") / "set"
    return folder, write_volume_set(folder, 0, 6, 8.0, atlas, workers=1)


def files(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def median(image, where):
    return np.median(image[where])


def test_all_modalities_contain_only_the_same_solid_brain(everyone):
    for volumes in everyone:
        brain = volumes.images[0] > 0
        assert all(np.array_equal(image > 0, brain) for image in volumes.images)
        assert volumes.images.dtype == np.int16 and volumes.images.min() == 0
        assert ndimage.label(brain)[1] == 1 and ndimage.label(~brain)[1] == 1
        assert 1.0 < brain.sum() * SPACING**3 / 1e6 < 2.4  # litres
        for axis in range(3):
            assert not brain.take([0, -1], axis).any()


def test_every_patient_has_a_tumor_in_the_brain_with_brats_labels(everyone):
    for volumes in everyone:
        assert volumes.seg.dtype == np.uint8 and set(np.unique(volumes.seg)) <= {0, 1, 2, 4}
        assert (volumes.seg > 0).sum() * SPACING**3 > 2000  # mm³
        assert np.isin(volumes.seg, [1, 4]).any()
        assert (volumes.images[0][volumes.seg > 0] > 0).all()
    assert BRATS_LABELS == {"none": 0, "necrotic_core": 1, "edema": 2, "enhancing": 4}


def test_the_rim_surrounds_the_necrosis_and_the_edema_surrounds_both(atlas, patients):
    """Distance of each label's voxels to healthy brain: necrosis deepest, oedema shallowest."""
    rings = 0
    for number, volumes in zip(PATIENT_NUMBERS, patients["HGG"], strict=True):
        tumor = sample_subject(0, "HGG", number, atlas).tumor
        if tumor.rim < tumor.radius and (volumes.seg == 1).sum() > 20:
            deep = ndimage.distance_transform_edt(volumes.seg)
            core, rim, edema = (deep[volumes.seg == label].mean() for label in (1, 4, 2))
            assert core > rim > edema
            rings += 1
    assert rings > 1


def test_grid_is_that_of_brats_and_tumor_is_at_the_subjects_site(atlas, patients):
    shape, affine = voxel_grid(SPACING)
    assert nib.aff2axcodes(affine) == ("L", "P", "S")
    assert np.abs(np.linalg.det(affine)) == pytest.approx(SPACING**3)
    for grade in GRADES:
        for number in PATIENT_NUMBERS:
            volumes = patients[grade][number]
            assert volumes.seg.shape == volumes.images.shape[1:] == shape
            assert np.array_equal(volumes.affine, affine)
            subject = sample_subject(0, grade, number, atlas)
            middle = affine[:3, :3] @ np.argwhere(np.isin(volumes.seg, [1, 4])).mean(0) + affine[:3, 3]
            assert np.linalg.norm(middle - subject.focus) < subject.tumor.radius


def test_high_grade_enhances_more_and_has_more_edema(patients):
    def uptake(volumes):
        tumor, brain = np.isin(volumes.seg, [1, 4]), (volumes.seg == 0) & (volumes.images[0] > 0)
        before, after = (image.astype(float) / median(image, brain) for image in volumes.images[:2])
        return (after - before)[tumor].mean()

    mean = {grade: np.mean([uptake(volumes) for volumes in patients[grade]]) for grade in GRADES}
    assert mean["HGG"] > mean["LGG"] + 0.15
    edema = {grade: np.mean([(volumes.seg == 2).sum() for volumes in patients[grade]]) for grade in GRADES}
    assert edema["HGG"] > 1.5 * edema["LGG"]


def test_mismatch_is_dark_on_flair_within_a_bright_rim(atlas):
    """FLAIR / T2 at the tumour's centre against its border: lower with a mismatch, similar without."""
    quotients = {True: [], False: []}
    for number in range(1, 13):
        tumor = sample_subject(0, "LGG", number, atlas).tumor
        volumes = make_volumes(0, "LGG", number, SPACING, atlas)
        solid = volumes.seg == 1
        middle, border = ndimage.binary_erosion(solid, iterations=2), solid & ~ndimage.binary_erosion(solid)
        ratio = volumes.images[3] / np.maximum(volumes.images[2], 1)
        if middle.any():
            quotients[tumor.rim < tumor.radius].append(median(ratio, middle) / median(ratio, border))
    assert len(quotients[True]) > 1 and len(quotients[False]) > 1
    assert np.mean(quotients[True]) < 0.85 < 0.93 < np.mean(quotients[False]) < 1.1


def test_one_in_five_of_each_grade_is_untypical_and_sizes_are_similar(atlas):
    tumors = {g: [sample_glioma(keyed_rng("untypical", g, n), g, atlas) for n in range(200)] for g in GRADES}
    faint = np.mean([t.uptake <= 0.45 for t in tumors["HGG"]])
    enhancing = np.mean([t.uptake >= 0.3 for t in tumors["LGG"]])
    assert faint == pytest.approx(UNTYPICAL, abs=0.08) and enhancing == pytest.approx(UNTYPICAL, abs=0.08)
    assert all(t.rim == t.radius for t in tumors["HGG"] if t.uptake <= 0.45)
    radius = {grade: np.mean([t.radius for t in tumors[grade]]) for grade in GRADES}
    assert radius["LGG"] == pytest.approx(radius["HGG"], rel=0.06)


def test_few_scanners_with_small_variations():
    days = [sample_scanner(keyed_rng("day", number), 0) for number in range(60)]
    assert len({tuple(day.blur.ravel()) for day in days}) == SCANNERS
    assert len({tuple(day.gain) for day in days}) == len(days)
    for day in days:
        assert (day.blur[:, :2] == IN_PLANE).all() and (day.gamma == 1).all() and not day.shift.any()
        drift = day.tables / np.stack([intensities(modality) for modality in MODALITIES])
        others = [i for name, i in INDEX.items() if name != "gm"]
        assert drift[0, others] == pytest.approx(drift[1, others])  # T1 and T1ce are one sequence
        white, gray = day.tables[:, INDEX["wm"]], day.tables[:, INDEX["gm"]]
        assert (np.sign(gray - white) == (-1, -1, 1, 1)).all()


def test_scan_depends_on_the_number_but_not_on_the_grade(atlas, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "btlib.phantom.volumes.sample_scanner", lambda *how: seen.append(sample_scanner(*how)) or seen[-1]
    )
    for grade in GRADES:
        make_volumes(0, grade, 3, 12.0, atlas)
    assert np.array_equal(seen[0].tables, seen[1].tables) and np.array_equal(seen[0].gain, seen[1].gain)


def scanned(atlas, stripping=USUAL, **changes):
    """The same patient with other properties of the scanner or another way to remove the skull."""
    rng = keyed_rng(0)
    scanner = replace(sample_scanner(rng, 0), noise=0.0, **changes)
    return scan(rng, sample_subject(0, "HGG", 1, atlas), scanner, SPACING, stripping)


def test_remains_of_the_skull_are_kept_outside_the_brain(atlas):
    clean, left = (scanned(atlas, Stripping(-1.0, 2.0, leftovers)).images[0] > 0 for leftovers in (False, True))
    assert (left & ~clean).sum() > 100 > 10 * (clean & ~left).sum()


def test_a_gamma_keeps_the_order_of_grey_levels_and_a_shift_moves_one_modality(atlas):
    plain, curved = scanned(atlas), scanned(atlas, gamma=np.array([1.0, 1.4, 1.0, 1.0]))
    same = np.array_equal(plain.seg, curved.seg) and np.array_equal(plain.images[[0, 2, 3]], curved.images[[0, 2, 3]])
    assert same and not np.array_equal(plain.images[1], curved.images[1])
    before, after = (volumes.images[1].ravel().astype(int) for volumes in (plain, curved))
    assert (np.diff(after[np.lexsort((after, before))]) >= 0).all()
    shift = np.zeros((len(MODALITIES), 3))
    shift[2, 0] = SPACING
    moved = scanned(atlas, shift=shift)
    changed = [not np.array_equal(*pair) for pair in zip(plain.images, moved.images, strict=True)]
    assert changed == [False, False, True, False] and np.array_equal(plain.seg, moved.seg)


def test_skipping_the_head_deep_in_the_brain_is_exact(atlas):
    """`Subject.tissues` against painting every layer at every point."""
    points = np.random.default_rng(0).uniform(-100, 100, (6000, 3)).astype(np.float32)
    for label in ("glioma", "HGG", "meningioma"):
        subject = sample_subject(0, label, 1, atlas)
        where = subject.warp.to_atlas(points)
        depth = atlas.envelope.at(where)
        noise = partial(atlas.noise, offset=subject.texture)
        full = Mixture(len(points))
        paint_head(full, where, depth, subject.head, noise)
        paint_brain(full, atlas, where, subject.tumor.sources(where, depth), depth, subject.brain, noise)
        paint_tumor(full, subject.tumor, where, depth, noise)
        assert np.array_equal(subject.tissues(points).fractions, full.fractions)


def test_only_points_deep_in_the_brain(atlas):
    subject = sample_subject(0, "LGG", 0, atlas)
    fractions = subject.tissues(subject.focus[None]).fractions
    assert fractions.sum() == pytest.approx(1)


def test_each_pair_of_cases_has_both_grades():
    grades = case_grades(0, 80)
    assert all({first, second} == set(GRADES) for first, second in zip(grades[::2], grades[1::2], strict=True))
    assert 10 < sum(first == "HGG" for first in grades[::2]) < 30
    assert case_grades(0, 7) == grades[:7] and case_grades(1, 80) != grades


def test_layout_is_that_of_brats_2020(made):
    folder, table = made
    names = [f"BraTS20_Training_{number:03d}" for number in range(1, 7)]
    expected = [f"{name}/{name}_{part}.nii.gz" for name in names for part in (*MODALITIES, "seg")]
    assert sorted(files(folder)) == sorted([*expected, "name_mapping.csv"])
    read = pd.read_csv(folder / "name_mapping.csv")
    assert tuple(read.columns) == COLUMNS
    assert list(read.BraTS_2020_subject_ID) == names and list(read.Grade) == list(table.Grade) == case_grades(0, 6)
    assert read[list(COLUMNS[1:-1])].isna().all(axis=None)
    assert (folder / "name_mapping.csv").read_text().splitlines()[1].endswith("GG,NA,NA,NA,NA,BraTS20_Training_001")


def test_files_contain_the_volumes(made, atlas):
    folder, table = made
    name = "BraTS20_Training_002"
    volumes = make_volumes(0, table.Grade[1], 2, 8.0, atlas)
    for part, voxels in zip((*MODALITIES, "seg"), (*volumes.images, volumes.seg), strict=True):
        image = nib.load(folder / name / f"{name}_{part}.nii.gz")
        assert image.get_data_dtype() == voxels.dtype and np.array_equal(image.dataobj, voxels)
        assert np.array_equal(image.affine, volumes.affine) and image.header.get_zooms() == (8.0, 8.0, 8.0)
        assert image.header.get_xyzt_units()[0] == "mm"


def test_same_seed_gives_same_bytes_for_any_workers_and_cases(made, atlas, tmp_path):
    write_volume_set(tmp_path / "again", 0, 4, 8.0, atlas, workers=2)
    ours, again = files(made[0]), files(tmp_path / "again")
    volumes = [name for name in again if name.endswith(".nii.gz")]
    assert len(volumes) == 20 and all(again[name] == ours[name] for name in volumes)
    # gzip header: no file name among the flags, no time
    assert all(content[3:8] == bytes(5) for name, content in again.items() if name in volumes)
    digests = {hashlib.sha256(again[name]).digest() for name in volumes}
    assert len(digests) == len(volumes)


def test_a_varied_set_holds_varied_cases(atlas, tmp_path):
    table = write_volume_set(tmp_path / "varied", 0, 2, 8.0, atlas, workers=1, variety=1.0)
    for number, (grade, name) in enumerate(zip(table.iloc[:, 0], table.iloc[:, -1], strict=True), 1):
        made = varied_volumes(0, grade, number, 8.0, 1.0, atlas)
        seg = nib.load(tmp_path / "varied" / name / f"{name}_seg.nii.gz")
        assert np.array_equal(seg.dataobj, made.seg)
        assert not np.array_equal(made.seg, make_volumes(0, grade, number, 8.0, atlas).seg)


def test_moving_equals_scipys_shift():
    signal = np.random.default_rng(0).random((9, 10, 11), np.float32)
    for shift in ((0.3, -0.6, 0.0), (-2.25, 1.0, 3.5), (0.0, -1.0, 0.99)):
        np.testing.assert_allclose(_moved(signal, np.array(shift)), grid_constant(signal, shift), atol=1e-6)


def grid_constant(signal, shift):
    return ndimage.shift(signal, shift, order=1, mode="grid-constant")


def test_other_seed_gives_other_patients(atlas, patients):
    other = make_volumes(1, "HGG", 0, SPACING, atlas)
    assert not np.array_equal(other.seg, patients["HGG"][0].seg)


def test_failure_leaves_the_old_set(atlas, tmp_path, monkeypatch):
    (tmp_path / "set").mkdir()
    (tmp_path / "set/old").write_text("kept")

    def broken(*_, **__):
        raise RuntimeError("stopped half-way")

    monkeypatch.setattr("btlib.phantom.volume_set.make_volumes", broken)
    with pytest.raises(RuntimeError, match="half-way"):
        write_volume_set(tmp_path / "set", 0, 2, 8.0, atlas, workers=1)
    assert (tmp_path / "set/old").read_text() == "kept" and len(list(tmp_path.iterdir())) == 1


def test_contact_sheet_shows_both_grades(made):
    sheet = contact_sheet(made[0])
    assert sheet.shape[0] == len(GRADES) * PATIENTS * HEIGHT and sheet.dtype == np.uint8
    colored = sheet.max(2) != sheet.min(2)
    shown = sheet.shape[1] * 4 // 5
    assert not colored[:, :shown].any()
    assert all(rows[:, shown:].any() for rows in np.split(colored, len(GRADES) * PATIENTS))


@pytest.fixture
def stage(atlas, tmp_path, monkeypatch):
    """Runs the stage in an empty project with a tiny demo data set."""
    monkeypatch.chdir(tmp_path)
    here = partial(write_volume_set, atlas=atlas, workers=1)
    monkeypatch.setattr("btlib.phantom.volume_set.write_volume_set", here)

    def run(source):
        yaml = YAML()
        params = yaml.load(ROOT / "params.yaml")
        params["volumes"]["source"] = source
        params["volumes"]["phantom"] |= {"cases": 10, "spacing": 12.0}
        yaml.dump(params, Path("params.yaml"))
        runpy.run_path(str(ROOT / "stages/phantom_volumes.py"))["main"](out=Path("raw/volumes"))

    return run


def test_demo_volumes_have_the_number_in_params(stage, capsys):
    stage("phantom")
    assert len(list(Path("raw/volumes").glob("*/*_seg.nii.gz"))) == 10
    assert "10 patients, 5 of them high-grade" in capsys.readouterr().out


def test_other_sources_of_volumes_get_an_empty_folder(stage, capsys):
    Path("raw/volumes/old").mkdir(parents=True)
    stage("folder")
    assert list(Path("raw/volumes").iterdir()) == []
    assert "no phantoms made" in capsys.readouterr().out
