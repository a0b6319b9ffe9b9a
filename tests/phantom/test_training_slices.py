import numpy as np
import pytest

from btlib.phantom import training_slices as training
from btlib.phantom.atlas import load_atlas
from btlib.phantom.contrasts import MODALITIES
from btlib.phantom.slices import SMALLEST_LESION, plane_points
from btlib.phantom.tissues import INDEX
from btlib.phantom.training_slices import CUTS, SHOW_EDEMA, training_slices, training_subject
from btlib.phantom.tumors import LABELS

SIZE = 64


@pytest.fixture(scope="module")
def atlas():
    return load_atlas()


@pytest.fixture(scope="module")
def by_subject(atlas):
    return [training_slices(number, 0, SIZE, atlas) for number in range(12)]


def test_subjects_are_the_classes_in_turn_in_every_contrast(by_subject, atlas):
    for number, slices in enumerate(by_subject):
        label = LABELS[number % 4]
        assert training_subject(0, number, atlas).label == label
        assert {one.label for one in slices} <= {label, "no_tumor"}
        assert len(slices) <= CUTS * len(MODALITIES)
        assert {one.modality for one in slices} == set(MODALITIES)
        assert all(one.image.shape == one.lesion.shape == (SIZE, SIZE) for one in slices)


def test_a_slice_has_a_lesion_exactly_if_its_class_has_one(by_subject):
    every = [one for slices in by_subject for one in slices]
    for one in every:
        if one.label == "no_tumor":
            assert not one.lesion.any()
        else:
            assert one.lesion.mean() >= SMALLEST_LESION
    assert 0.2 < np.mean([one.label == "no_tumor" for one in every]) < 0.7


def test_subjects_with_a_tumor_are_cut_beside_it_too(by_subject):
    labels = [{one.label for one in slices} for number, slices in enumerate(by_subject) if number % 4 != 2]
    assert sum(found == {LABELS[k], "no_tumor"} for k, found in zip([0, 1, 3] * 3, labels, strict=True)) >= 5


def test_a_healed_head_is_cut_where_its_tumor_was(atlas, monkeypatch):
    """The last cut of every subject with a tumour, if all are healed."""
    cuts = []

    def points(rng, plane, place, *_):
        cuts.append(place)
        return plane_points(rng, plane, place, *_)

    monkeypatch.setattr(training, "HEALED", 1.0)
    monkeypatch.setattr(training, "plane_points", points)
    for number in (0, 1, 3):
        subject, slices = training_subject(0, number, atlas), training_slices(number, 0, SIZE, atlas)
        assert np.linalg.norm(cuts[-1] - subject.focus) < 1.05 * subject.tumor.radius  # 0.6 · √3
        assert {one.label for one in slices[-len(MODALITIES) :]} == {"no_tumor"}
        assert not any(one.lesion.any() for one in slices[-len(MODALITIES) :])


def test_edema_is_outlined_where_it_is_seen(atlas):
    """On T2 and FLAIR the outline of a glioma holds that of T1 and more."""
    subject = next(n for n in range(0, 40, 4) if training_subject(0, n, atlas).tumor.edema > 10)
    slices = [one for one in training_slices(subject, 0, SIZE, atlas) if one.label == "glioma"]
    for first, second, third, fourth in zip(*(slices[k::4] for k in range(4)), strict=False):
        assert [one.modality for one in (first, second, third, fourth)] == list(MODALITIES)
        assert np.array_equal(first.lesion, second.lesion) and np.array_equal(third.lesion, fourth.lesion)
        assert (third.lesion >= first.lesion).all()
    assert set(SHOW_EDEMA) < set(MODALITIES)


def test_lesions_are_seen(by_subject):
    """Inside the outline grey levels differ from those of the rest of the head, most of all on FLAIR and T1ce."""
    differences = {name: [] for name in MODALITIES}
    for one in (one for slices in by_subject for one in slices if one.label != "no_tumor"):
        head = one.image[(one.image > 25) & ~one.lesion]
        differences[one.modality].append(abs(one.image[one.lesion].mean() - np.median(head)) / head.std())
    assert min(np.median(found) for found in differences.values()) > 0.3


def test_a_cut_without_skull_that_misses_the_brain_is_left_out(atlas, monkeypatch):
    """Coronal cuts through the face, all without skull."""
    monkeypatch.setattr(training, "STRIPPED", 1.0)
    monkeypatch.setattr(training, "PLANE_SHARES", (0.0, 1.0, 0.0))
    monkeypatch.setattr(training, "SPAN", {"coronal": (1, 78.0, 80.0)})
    healthy = [training_slices(number, 0, SIZE, atlas) for number in (2, 6)]
    assert all(one.image.any() for slices in healthy for one in slices)
    assert min(map(len, healthy)) < CUTS * len(MODALITIES)


def test_the_same_arguments_give_the_same_slices_and_seeds_differ(atlas):
    one, again, other = (training_slices(3, seed, SIZE, atlas) for seed in (0, 0, 1))
    assert all(np.array_equal(a.image, b.image) for a, b in zip(one, again, strict=True))
    assert not np.array_equal(one[0].image, other[0].image)


def test_some_gliomas_have_several_lesions(atlas):
    tumors = [training_subject(0, number, atlas).tumor for number in range(0, 120, 4)]
    assert any(np.linalg.norm(t.centers - t.center, axis=1).max() > 1.5 * t.radius for t in tumors)


def test_surroundings_may_be_random_shapes_and_the_brain_stays(atlas, monkeypatch):
    seen = []

    def acquired(rng, ideal, fractions, *_):
        seen.append((ideal.ravel(), fractions))
        return np.zeros(ideal.shape, np.uint8)

    monkeypatch.setattr(training, "acquire", acquired)
    monkeypatch.setattr(training, "coil", lambda height, _: np.ones_like(height))
    monkeypatch.setattr(training, "STRIPPED", 0.0)
    grays = {}
    for share in (0.0, 1.0):
        monkeypatch.setattr(training, "RANDOM_SURROUNDINGS", share)
        seen.clear()
        training_slices(2, 0, SIZE, atlas)
        ideal, fractions = seen[0]
        outside = fractions[:, training.AROUND].sum(axis=1) > 0.999
        brain = fractions[:, [INDEX["gm"], INDEX["wm"]]].sum(axis=1) > 0.999
        grays[share] = set(ideal[outside].round(3)), ideal[brain]
    assert len(grays[0.0][0]) > 2 * training.SHAPES >= 2 * len(grays[1.0][0]) > 4
    assert len(grays[1.0][1]) and max(grays[1.0][0]) <= training.BRIGHTEST
    assert np.array_equal(grays[0.0][1].shape, grays[1.0][1].shape)


def test_lesions_may_be_closer_to_healthy_brain_than_usual(monkeypatch):
    monkeypatch.setattr(training, "RANDOM_GRAYS", 0.0)
    factors = []
    for seed in range(20):
        tables = {}
        for share in (0.0, 1.0):
            monkeypatch.setattr(training, "FAINT", share)
            tables[share] = training._table(np.random.default_rng(seed), "t1ce")
        healthy = tables[0.0][training.HEALTHY].mean()
        factor = (tables[1.0][training.LESION] - healthy) / (tables[0.0][training.LESION] - healthy)
        assert np.ptp(factor) < 1e-3
        assert np.array_equal(np.delete(tables[0.0], training.LESION), np.delete(tables[1.0], training.LESION))
        factors.append(factor[0])
    assert min(factors) >= training.FAINTEST and max(factors) <= 1 and np.ptp(factors) > 0.4


def test_fat_may_be_much_brighter_than_brain():
    tables = [training._table(np.random.default_rng(seed), "flair") for seed in range(50)]
    ratios = [table[INDEX["fat"]] / table[INDEX["wm"]] for table in tables]
    assert min(ratios) < 1.2 and max(ratios) > 2.5
