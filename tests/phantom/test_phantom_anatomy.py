"""Atlas, head, brain, warp: positions of structures."""

import numpy as np
import pytest

from btlib.phantom.brain import VESSELS, BrainShape, brain_tissue, sample_brain
from btlib.phantom.head import MUSCLES
from btlib.phantom.shapes import around_rod, at_rows, box, capsule, ellipsoid, in_box, mirrored, smooth_union
from btlib.phantom.subject import sample_subject
from btlib.phantom.tissues import INDEX, TISSUES, Mixture, ramp
from btlib.phantom.warp import sample_warp


def share(subject, name, *points):
    """Fraction of a tissue at points given in the mean head."""
    places = subject.warp.from_atlas(np.array(points, np.float32))
    return subject.tissues(places).fractions[:, INDEX[name]]


def test_signed_distances_by_hand():
    points = np.array([[0, 0, 0], [5, 0, 0], [0, 0, 3]], np.float32)
    assert ellipsoid(points, (0, 0, 0), (4, 2, 2)) == pytest.approx([-2, 1, 1])
    assert capsule(points, (-1, 0, 0), (1, 0, 0), 2) == pytest.approx([-2, 2, 1])
    assert box(points, (0, 0, 0), (4, 4, 4), 0) == pytest.approx([-4, 1, -1])
    assert smooth_union(np.array([1.0]), np.array([9.0]), 2) == pytest.approx([1])
    assert smooth_union(np.array([1.0]), np.array([1.0]), 2)[0] < 1
    assert mirrored(np.array([[-3.0, 1, 2]])).tolist() == [[3, 1, 2]]


def test_points_in_a_box_and_around_a_rod_by_hand():
    points = np.array([[0, 0, 0], [5, 0, 0], [0, 0, 3], [-1.5, 0, 0]])
    assert in_box(points, (-1, -1, -1), (1, 1, 4)).tolist() == [0, 2]
    assert around_rod(points, (4, 0, 0), (0, 0, 0), 2).tolist() == [0, 1, 3]  # either end may come first


@pytest.mark.parametrize("rod", [*VESSELS, *MUSCLES], ids=str)
def test_box_around_a_rod_contains_all_near_points(rod):
    start, end, radius, end_radius = rod
    ends = np.array([start, end], float)
    points = np.random.default_rng(0).uniform(ends.min(0) - 20, ends.max(0) + 20, (20000, 3))
    kept = around_rod(points, start, end, max(radius, end_radius) + 3)
    near = np.flatnonzero(capsule(points, start, end, radius, end_radius) < 3)
    assert len(near) and np.isin(near, kept).all() and len(kept) < len(points)


def test_points_of_rows_are_stored_by_coordinate():
    points, rows = np.arange(12.0).reshape(4, 3), np.array([3, 1])
    for order in "CF":
        chosen = at_rows(np.array(points, order=order), rows)
        assert chosen.tolist() == points[rows].tolist() and chosen.flags.f_contiguous


def test_ventricles_reach_far_enough_for_every_brain(atlas):
    widest = max(sample_brain(np.random.default_rng(seed)).ventricles for seed in range(1000))
    values = atlas.ventricles.values
    faces = [np.take(values, side, axis) for axis in range(3) for side in (0, -1)]
    assert values.min() < 0 and min(face.min() for face in faces) > widest + 1  # fluid fades over 1.6 mm


def test_painting_keeps_fractions_summing_to_one():
    mixture = Mixture(3)
    mixture.paint("gm", np.array([1, 0.5, 0]))
    mixture.paint("wm", np.array([0.5]), np.array([1]))
    assert mixture.fractions.sum(1) == pytest.approx(1)
    assert mixture.fractions[1, INDEX["gm"]] == pytest.approx(0.25)
    assert mixture.fractions[2, INDEX["air"]] == 1


def test_ramp_is_half_at_the_border():
    assert ramp(np.array([-2.0, 0.0, 2.0]), 2.0).tolist() == [1, 0.5, 0]


def test_envelope_is_negative_in_the_brain_and_grows_outside(atlas):
    inside, near, far = atlas.envelope.at(np.array([[20, -20, 30], [0, -20, 95], [0, -20, 115]], float))
    assert inside < -20 and 0 < near < far
    assert far - near == pytest.approx(20, abs=3)


def test_brain_tissue_at_known_places(atlas):
    shape = BrainShape(sulci=1, ventricles=0, vessels=0)
    # corona radiata, thalamus, body of the lateral ventricle (all MNI)
    gm, wm, csf = brain_tissue(atlas, np.array([[26, -20, 28], [10, -20, 8], [10, 6, 18]], float), shape)
    assert wm[0] > 0.8 and gm[1] > 0.5 and csf[2] > 0.5
    assert gm + wm + csf == pytest.approx(1)


def test_wider_ventricles_contain_more_fluid(atlas):
    points = np.stack(np.meshgrid(np.arange(-30, 30, 3), np.arange(-40, 30, 3), [18], indexing="ij"), -1)
    fluid = [
        brain_tissue(atlas, points.reshape(-1, 3).astype(float), BrainShape(1, extra, 0))[2].sum() for extra in (0, 3)
    ]
    assert fluid[1] > 1.1 * fluid[0]


def test_warp_moves_points_and_is_invertible(atlas):
    warp = sample_warp(np.random.default_rng(3))
    points = np.array([[0, 0, 0], [40, -30, 20], [-35, 50, -40]], float)
    there = warp.from_atlas(points)
    assert warp.to_atlas(there) == pytest.approx(points, abs=0.05)
    assert np.abs(there - points).max() > 0.5


def test_head_layers_from_brain_to_air(atlas):
    subject = sample_subject(1, "no_tumor", 0, atlas)
    ray = np.stack([np.zeros(60), np.full(60, -20.0), np.linspace(60, 119, 60)], 1)
    fractions = subject.tissues(subject.warp.from_atlas(ray)).fractions
    first = {name: np.argmax(fractions[:, INDEX[name]] > 0.4) for name in ("bone", "fat", "air")}
    assert 0 < first["bone"] < first["fat"] < first["air"]
    assert fractions[-1, INDEX["air"]] == 1


def test_head_has_eyes_sinuses_and_a_cord(atlas):
    subject = sample_subject(1, "no_tumor", 1, atlas)
    assert share(subject, "vitreous", (33, 62, -37), (-33, 62, -37)) == pytest.approx(1, abs=0.05)
    assert share(subject, "air", (0, 120, 0), (27, 48, -60)) == pytest.approx(1, abs=0.05)
    assert share(subject, "wm", (0, -42, -100))[0] > 0.9


def test_fractions_sum_to_one_at_every_point(atlas):
    subject = sample_subject(0, "glioma", 0, atlas)
    points = np.random.default_rng(0).uniform(-100, 100, (4000, 3)).astype(np.float32)
    fractions = subject.tissues(points).fractions
    assert fractions.shape == (4000, len(TISSUES))
    assert fractions.sum(1) == pytest.approx(1, abs=1e-4)
    assert fractions.min() >= -1e-6
