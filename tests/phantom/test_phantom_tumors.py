"""Site, composition and mass effect of tumours."""

import numpy as np
import pytest

from btlib.core.runtime.reproducibility import keyed_rng
from btlib.phantom.head import SELLA
from btlib.phantom.subject import sample_subject
from btlib.phantom.tissues import INDEX
from btlib.phantom.tumors import LESION_LABELS, lesion_labels, sample_tumor

SUBJECTS = range(6)


def volume(subject):
    """Points on a 3 mm grid around the focus, with their mixture and lesion labels."""
    steps = np.arange(-45, 46, 3.0)
    grid = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3)
    points = (grid + subject.focus).astype(np.float32)
    mixture = subject.tissues(points)
    return points, mixture, lesion_labels(mixture)


def bulk(labels):
    return (labels == LESION_LABELS["necrotic_core"]) | (labels == LESION_LABELS["enhancing"])


@pytest.mark.parametrize("label", ["glioma", "meningioma", "pituitary"])
def test_tumor_has_about_its_size_and_is_in_the_head(atlas, label):
    for number in SUBJECTS:
        subject = sample_subject(0, label, number, atlas)
        points, _, labels = volume(subject)
        count = bulk(labels).sum() * 27
        ball = 4 / 3 * np.pi * subject.tumor.radius**3
        assert 0.15 * ball < count < 6 * ball
        assert subject.near(points[bulk(labels)], 0.0).all()


def test_healthy_subjects_have_no_lesion(atlas):
    _, mixture, labels = volume(sample_subject(0, "no_tumor", 2, atlas))
    assert not labels.any()
    assert mixture.fractions[:, INDEX["enhancing"]].max() == 0


def test_glioma_is_in_white_matter_with_edema(atlas):
    edema = 0
    for number in SUBJECTS:
        subject = sample_subject(0, "glioma", number, atlas)
        assert atlas.wm.at(subject.tumor.center[None])[0] > 0.5 * 255
        points, _, labels = volume(subject)
        where = subject.warp.to_atlas(points)
        sources = subject.tumor.sources(where, atlas.envelope.at(where))
        spread = labels == LESION_LABELS["edema"]
        edema += spread.sum()
        if spread.sum() > 50:
            assert (atlas.wm.at(sources[spread]) > atlas.gm.at(sources[spread])).mean() > 0.6
    assert edema > 0


def test_necrosis_is_within_the_enhancing_rim(atlas):
    rings = [s for s in (sample_subject(0, "glioma", n, atlas) for n in range(20)) if s.tumor.rim < s.tumor.radius]
    assert rings
    for subject in rings[:3]:
        points, mixture, _ = volume(subject)
        nearest = np.min(
            [
                np.linalg.norm(subject.warp.to_atlas(points) - c, axis=1) / r
                for c, r in zip(subject.tumor.centers, subject.tumor.radii, strict=True)
            ],
            0,
        )
        dead, alive = (np.average(nearest, weights=mixture.fractions[:, INDEX[n]]) for n in ("necrosis", "enhancing"))
        assert dead < alive


def test_meningioma_touches_the_dura(atlas):
    convex = 0
    for number in range(12):
        tumor = sample_tumor(keyed_rng(5, number), "meningioma", atlas)
        reach = min(np.linalg.norm(c - tumor.anchor) - r for c, r in zip(tumor.centers, tumor.radii, strict=True))
        assert reach < 0
        depth = atlas.envelope.at(tumor.anchor[None])[0]
        on_falx = abs(tumor.anchor[0]) < 1e-9
        if not on_falx and tumor.anchor[2] > 0:
            convex += 1
            assert abs(depth) < 4
            assert atlas.envelope.at(tumor.center[None])[0] < depth
    assert convex


def test_pituitary_tumor_is_at_the_sella(atlas):
    for number in range(12):
        tumor = sample_tumor(keyed_rng(6, number), "pituitary", atlas)
        assert np.linalg.norm(tumor.center - SELLA) < 8
        assert tumor.centers[:, 2].max() < SELLA[2] + 40


def test_mass_effect_moves_brain_outward_but_not_the_skull(atlas):
    tumor = sample_tumor(keyed_rng(7), "meningioma", atlas)
    points = tumor.center + np.array([[0, 0, 1.3 * tumor.radius], [0, 0, 4 * tumor.radius]])
    deep = np.array([-30.0, -30.0])
    moved = np.linalg.norm(points - tumor.sources(points, deep), axis=1)
    assert moved[0] > 3 * moved[1] > 0
    assert tumor.sources(points, np.zeros(2)) == pytest.approx(points)
    # Incompressible: the original ball fills the resulting shell.
    before = np.linalg.norm(tumor.sources(points, deep) - tumor.center, axis=1)
    after = np.linalg.norm(points - tumor.center, axis=1)
    assert after**3 - before**3 == pytest.approx((tumor.push * tumor.radius) ** 3, rel=0.02)
