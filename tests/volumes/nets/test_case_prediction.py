"""Predictions of a case, missing modalities, and MC dropout."""

import numpy as np
import torch

from btlib.volumes.data.conventions import MODALITIES
from btlib.volumes.data.store import Case
from btlib.volumes.nets.inference import grade_row, mc_samples, predict_case, stacked
from btlib.volumes.nets.network import JointArchitecture, build_joint
from btlib.volumes.nets.windows import Window, see_whole

NET = build_joint(JointArchitecture(width=8, attention=True, segmentation=True, grading="regions", dropout=0.5), 0)
WINDOW = Window(16, 16)


def make_case():
    image = np.random.default_rng(0).normal(size=(4, 12, 14, 10)).astype(np.float16)
    return Case("c", image, None, np.eye(4), np.diag([2.0, 2, 2, 1]), (6, 7, 5))


def test_prediction_is_the_window_output_as_probabilities():
    case = make_case()
    found = predict_case(NET, case, WINDOW)
    with torch.inference_mode():
        seen = see_whole(NET, torch.from_numpy(case.image).float(), WINDOW)
    np.testing.assert_allclose(found.regions, torch.sigmoid(seen.regions).numpy(), atol=1e-6)
    np.testing.assert_allclose(found.grade.sum(), 1)
    assert found.attention.shape == case.image.shape[1:]


def test_a_missing_modality_is_zero():
    case = make_case()
    without = case._replace(image=case.image * np.array([1, 0, 1, 1], np.float16)[:, None, None, None])
    names = [name for name in MODALITIES if name != "t1ce"]
    found = predict_case(NET, case, WINDOW, modalities=names)
    np.testing.assert_array_equal(found.regions, predict_case(NET, without, WINDOW).regions)
    assert not np.array_equal(found.regions, predict_case(NET, case, WINDOW).regions)


def test_samples_are_keyed_by_seed_case_and_number():
    case = make_case()
    first, again = mc_samples(NET, case, WINDOW, 2, seed=0), mc_samples(NET, case, WINDOW, 3, seed=0)
    np.testing.assert_allclose(first[1].regions, again[1].regions, atol=1e-6)
    assert not np.array_equal(first[0].regions, first[1].regions)
    assert not np.allclose(first[0].regions, mc_samples(NET, case, WINDOW, 1, seed=1)[0].regions)
    tumor, grade = stacked(first)
    assert tumor.shape == (2, *case.image.shape[1:])
    assert grade.shape == (2, 2)


def test_no_samples_without_dropout():
    plain = build_joint(NET.architecture._replace(dropout=0.0), 0)
    assert mc_samples(plain, make_case(), WINDOW, 2, seed=0) == []


def test_columns_are_empty_without_grading():
    assert np.isnan(list(grade_row(None).values())).all()
    assert grade_row(np.array([0.25, 0.75])) == {"p_LGG": 0.25, "p_HGG": 0.75}
