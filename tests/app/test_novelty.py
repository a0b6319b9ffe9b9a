"""Novelty distances against scikit-learn and by hand, and detection of out-of-distribution inputs."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.decomposition import PCA

from btlib.app.models import novelty as module
from btlib.app.models.novelty import Novelty, fit_novelty
from btlib.core.runtime.artifacts import read_tensors, write_tensors
from btlib.core.runtime.errors import InputError


@pytest.fixture
def features():
    """More features than inputs, with most variance in a few directions."""
    rng = np.random.default_rng(0)
    mixed = rng.normal(size=(6, 40)) * 3
    make = lambda n: (rng.normal(size=(n, 6)) @ mixed + rng.normal(0, 0.1, (n, 40)) + 5).astype(np.float32)  # noqa: E731
    return make(36), make(30), make(500)


def test_distances_match_probabilistic_pca(features, monkeypatch):
    """scikit-learn's log-density of the same Gaussian is minus half the squared distance plus a constant."""
    train, validation, new = features
    monkeypatch.setattr(module, "MOST_DIRECTIONS", 6)
    found = fit_novelty(train, validation, 0.9)
    pca = PCA(6, svd_solver="full").fit(train.astype(np.float64))
    rest = np.linalg.svd(train - train.mean(axis=0), compute_uv=False)[6:]
    pca.noise_variance_ = (rest**2).sum() / 35 / 34  # of all 34 other directions, including those without variance
    constant = multivariate_normal(np.zeros(40), pca.get_covariance()).logpdf(np.zeros(40))
    assert found.distances(new) ** 2 / 2 == pytest.approx(constant - pca.score_samples(new), rel=1e-3)


def test_two_dimensions_by_hand():
    """Variance 4 along x and 1 along y, one direction kept: the distance of (4, 3) is √(4²/4 + 3²/1) = √13."""
    corners = np.array([[3.0, 0], [-3, 0], [0, 1.5], [0, -1.5]]) * np.sqrt([4 * 3 / 18, 3 / 4.5]) + [10, 20]
    found = fit_novelty(corners, corners, 0.5)
    assert found.distances(np.array([[10.0, 20], [14, 23]])) == pytest.approx([0, np.sqrt(13)], abs=1e-6)


def test_threshold_is_the_requested_quantile(features):
    train, validation, new = features
    found = fit_novelty(train, validation, 0.9)
    assert np.mean(found.scores(validation) <= 1) == 0.9
    assert found.scores(new) == pytest.approx(found.distances(new) / found.threshold)


def test_inputs_outside_the_training_subspace_are_unfamiliar(features):
    train, validation, new = features
    found = fit_novelty(train, validation, 0.99)
    assert np.mean(found.scores(new) > 1) < 0.1
    assert (found.scores(new + np.random.default_rng(1).normal(0, 3, new.shape)) > 1).all()


def test_rotation_and_translation_invariance(features):
    train, validation, new = features
    turn = np.linalg.qr(np.random.default_rng(2).normal(size=(40, 40)))[0]
    moved = [part @ turn + 7 for part in features]
    before, after = fit_novelty(train, validation, 0.9), fit_novelty(*moved[:2], 0.9)
    assert after.scores(moved[2]) == pytest.approx(before.scores(new), rel=1e-3)


def test_non_finite_features_are_unfamiliar(features):
    found = fit_novelty(*features[:2], 0.9)
    assert found.scores(np.full((1, 40), np.nan, np.float32)) == [np.inf]


def test_tensors_round_trip(features, tmp_path):
    found = fit_novelty(*features[:2], 0.9)
    write_tensors(tmp_path / "n.safetensors", found.tensors())
    back = Novelty.from_tensors(read_tensors(tmp_path / "n.safetensors")[0], found.threshold)
    assert np.array_equal(back.scores(features[2]), found.scores(features[2]))


def test_missing_array_is_refused(features):
    tensors = fit_novelty(*features[:2], 0.9).tensors()
    del tensors["rest"]
    with pytest.raises(InputError, match="missing array 'rest'"):
        Novelty.from_tensors(tensors, 1.0)
