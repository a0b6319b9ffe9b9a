"""Phantom volumes to train on: reproducible, none of the demo's, varied, and true to their modalities."""

import numpy as np
import pytest

from btlib.phantom import varied_gliomas
from btlib.phantom import varied_volumes as training
from btlib.phantom.contrasts import MODALITIES
from btlib.phantom.gliomas import GRADES
from btlib.phantom.tissues import INDEX
from btlib.phantom.tumors import CLEAR
from btlib.phantom.varied_volumes import training_grade, training_volumes, varied_volumes
from btlib.phantom.volumes import BRATS_LABELS, USUAL, make_volumes

SPACING = 5.0
NUMBERS = range(8)
T1, T1CE, T2, FLAIR = range(4)
CORE, EDEMA, ENHANCING = (BRATS_LABELS[name] for name in ("necrotic_core", "edema", "enhancing"))
LESION = ("edema", "tumor", "necrosis", "enhancing")


@pytest.fixture(scope="module")
def made(atlas):
    """Cases by their variety."""
    return {
        variety: [training_volumes(0, number, SPACING, variety, atlas) for number in NUMBERS] for variety in (0.0, 1.0)
    }


@pytest.fixture
def drawn(atlas, monkeypatch):
    """What many cases of a variety would be scanned with: (scanner, stripping) of each."""

    def draw(variety, count=40):
        found = []
        monkeypatch.setattr(training, "scan", lambda rng, subject, *how: found.append((how[0], how[2])))
        for number in range(count):
            training_volumes(0, number, SPACING, variety, atlas)
        return found

    return draw


def assert_same(one, other):
    assert all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ("images", "seg", "affine"))


def seen(volumes):
    """Grey levels relative to the median of the healthy brain, and the brain."""
    brain = volumes.images[0] > 0
    healthy = brain & (volumes.seg == 0)
    return np.stack([image / np.median(image[healthy]) for image in volumes.images]), brain


def grays(scanners, tissue):
    """[N, M] relative to white matter."""
    return np.stack([scanner.tables[:, INDEX[tissue]] / scanner.tables[:, INDEX["wm"]] for scanner in scanners])


def test_the_same_arguments_give_the_same_bytes(made, atlas):
    for variety in (0.0, 1.0):
        assert_same(training_volumes(0, 3, SPACING, variety, atlas), made[variety][3])


def test_cases_seeds_and_the_demo_all_differ(made, atlas):
    others = [training_volumes(1, 0, SPACING, 1.0, atlas)]
    others += [varied_volumes(0, training_grade(number), number, SPACING, 1.0, atlas) for number in (0, 1)]
    others += [
        make_volumes(seed, grade, number, SPACING, atlas) for seed in (0, 1) for grade in GRADES for number in (0, 1)
    ]
    every = [*made[0.0], *made[1.0], *others]
    for name in ("images", "seg"):
        assert len({getattr(volumes, name).tobytes() for volumes in every}) == len(every)


def test_no_head_is_one_of_the_demos(made, atlas):
    """Not even another lesion in the same head: the brains of training and test cases would be alike."""
    for number in range(2):
        brain = made[0.0][number].images[0] > 0
        same = make_volumes(0, training_grade(number), number, SPACING, atlas).images[0] > 0
        assert (brain & same).sum() / (brain | same).sum() < 0.95


def test_grades_come_in_turn():
    assert {training_grade(0), training_grade(1)} == set(GRADES)
    for number in range(4):
        assert training_grade(number) == training_grade(number + 2)


def test_every_case_has_a_lesion_in_the_brain_with_brats_labels(made):
    for volumes in (*made[0.0], *made[1.0]):
        brain = volumes.images[0] > 0
        assert volumes.images.dtype == np.int16 and volumes.images.min() == 0
        assert all(np.array_equal(image > 0, brain) for image in volumes.images)
        assert volumes.seg.dtype == np.uint8 and set(np.unique(volumes.seg)) <= set(BRATS_LABELS.values())
        assert (volumes.seg > 0).any() and not (volumes.seg > 0)[~brain].any()


def test_variety_widens_the_spread_of_lesion_volumes(made):
    usual, varied = (np.log([(volumes.seg > 0).sum() for volumes in made[variety]]) for variety in (0.0, 1.0))
    assert varied.std() > usual.std()


def test_variety_widens_the_spread_of_every_grey_level_of_lesions(drawn):
    usual, varied = ([scanner for scanner, _ in drawn(variety)] for variety in (0.0, 1.0))
    for tissue in LESION:
        narrow, wide = (np.log(grays(scanners, tissue)).std(axis=0) for scanners in (usual, varied))
        assert (wide > 1.1 * narrow).all(), tissue


def test_variety_zero_scans_about_as_the_demo(drawn):
    for scanner, stripping in drawn(0.0, count=10):
        assert (scanner.gamma == 1).all() and not scanner.shift.any() and scanner.flow == 0
        assert stripping == USUAL


def test_scans_vary_in_everything_that_a_site_may_do_otherwise(drawn):
    found = drawn(1.0)
    for name in ("blur", "gain", "gamma", "noise", "shading", "grain", "shift", "flow"):
        assert len({np.asarray(getattr(scanner, name)).tobytes() for scanner, _ in found}) > 10, name
    assert not any(scanner.shift[T1CE].any() for scanner, _ in found)
    assert {stripping.leftovers for _, stripping in found} == {True, False}
    assert min(stripping.margin for _, stripping in found) < USUAL.margin < max(s.margin for _, s in found)
    assert {int(row.argmax()) for scanner, _ in found for row in scanner.blur} == {0, 1, 2}  # planes


@pytest.mark.parametrize("variety", [0.0, 1.0])
def test_fluid_is_dark_on_t1_and_flair_and_bright_on_t2(drawn, variety):
    """Apart from what flow adds on FLAIR."""
    for scanner, _ in drawn(variety):
        fluid, tissue = scanner.tables[:, INDEX["csf"]], scanner.tables[:, [INDEX["gm"], INDEX["wm"]]]
        assert (fluid[[T1, T1CE, FLAIR]] < 0.75 * tissue.min(axis=1)[[T1, T1CE, FLAIR]]).all()
        assert fluid[T2] > tissue[T2].max()


@pytest.mark.parametrize("variety", [0.0, 1.0])
def test_of_a_lesion_only_enhancing_tissue_gains_from_t1_to_t1ce(drawn, variety):
    scanners = [scanner for scanner, _ in drawn(variety)]
    for tissue in LESION:
        before, after = grays(scanners, tissue)[:, [T1, T1CE]].T
        if tissue == "enhancing":
            assert (after > 1.15 * before).all()
        else:
            np.testing.assert_allclose(after, before, rtol=0.2)


def test_the_bulk_holds_at_least_as_much_water_as_oedema(drawn):
    scanners = [scanner for scanner, _ in drawn(1.0)]
    edema, tumor = (grays(scanners, tissue) for tissue in ("edema", "tumor"))
    assert (tumor[:, [T1, T1CE]] < edema[:, [T1, T1CE]]).all() and (tumor[:, T2] > edema[:, T2]).all()
    assert 0.2 < (tumor[:, FLAIR] > edema[:, FLAIR]).mean() < 0.8


def test_oedema_and_enhancement_are_outlined_up_to_the_faintest(atlas, monkeypatch):
    """With the same draws, more of the brain is oedema, more of the core is enhancing, and nothing else differs."""
    faint = training_volumes(0, 1, SPACING, 1.0, atlas).seg
    monkeypatch.setattr(training, "FAINT", CLEAR)
    clear = training_volumes(0, 1, SPACING, 1.0, atlas).seg
    changed = {(int(before), int(after)) for before, after in zip(clear.flat, faint.flat, strict=True)}
    assert {pair for pair in changed if pair[0] != pair[1]} == {(0, EDEMA), (CORE, ENHANCING)}


def test_enhancing_tissue_is_brighter_on_t1ce_than_on_t1_in_the_scans(made):
    counted = 0
    for volumes in (*made[0.0], *made[1.0]):
        images, _ = seen(volumes)
        where = volumes.seg == ENHANCING
        if where.sum() > 30:
            assert np.median(images[T1CE][where]) > np.median(images[T1][where])
            counted += 1
    assert counted > 4


def test_a_butterfly_crosses_the_midline(atlas, monkeypatch):
    monkeypatch.setattr(varied_gliomas, "BUTTERFLY", 1.0)
    for number in range(3):
        volumes = training_volumes(0, number, SPACING, 1.0, atlas)
        x = (np.argwhere(volumes.seg > 0) @ volumes.affine[:3, :3].T + volumes.affine[:3, 3])[:, 0]
        assert (x < -5).mean() > 0.05 and (x > 5).mean() > 0.05


def test_modalities_are_those_of_the_grey_levels():
    for table in (training.WIDEST, training.WIDEST_AROUND):
        assert all(tissue in INDEX and len(ranges) == len(MODALITIES) for tissue, ranges in table.items())
