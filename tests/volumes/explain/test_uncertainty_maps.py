import numpy as np
import pytest
from scipy.stats import entropy as scipy_entropy

from btlib.volumes.explain.sampling import binary_uncertainty, categorical_uncertainty, methods_of

LOG2 = np.log(2)


@pytest.mark.parametrize(
    ("samples", "entropy", "mutual_information"),
    [
        ([0.5, 0.5], LOG2, 0),  # every sample is undecided
        ([0.0, 1.0], LOG2, LOG2),  # every sample is certain, but they disagree
        ([0.0, 0.0], 0, 0),
        ([1.0, 1.0], 0, 0),
        ([0.25, 0.75], LOG2, LOG2 + 0.25 * np.log(0.25) + 0.75 * np.log(0.75)),
        ([0.5, 1.0], -0.75 * np.log(0.75) - 0.25 * np.log(0.25), -0.75 * np.log(0.75) - 0.25 * np.log(0.25) - LOG2 / 2),
    ],
)
def test_binary_by_hand(samples, entropy, mutual_information):
    found = binary_uncertainty(np.array(samples))
    assert found.entropy == pytest.approx(entropy) and found.mutual_information == pytest.approx(mutual_information)


def test_binary_equals_two_classes():
    p = np.random.default_rng(0).random((6, 3, 4)).astype(np.float32)
    for binary, categorical in zip(
        binary_uncertainty(p), categorical_uncertainty(np.stack([p, 1 - p], -1)), strict=True
    ):
        assert binary.shape == (3, 4)
        np.testing.assert_allclose(binary, categorical, atol=1e-7)


def test_categorical_agrees_with_scipy():
    samples = np.random.default_rng(1).dirichlet(np.ones(3), size=(7, 5))
    found = categorical_uncertainty(samples)
    expected = scipy_entropy(samples.mean(axis=0), axis=-1)
    np.testing.assert_allclose(found.entropy, expected)
    # mutual information is the mean divergence of the samples from their mean
    divergence = scipy_entropy(samples, samples.mean(axis=0, keepdims=True), axis=-1).mean(axis=0)
    np.testing.assert_allclose(found.mutual_information, divergence)


def test_bounds_for_certain_and_equal_samples():
    rng = np.random.default_rng(2)
    p = rng.choice([0, 1e-300, 1e-9, 0.1, 0.5, 1 - 1e-9, 1], size=(10, 1000))
    same = np.repeat(p[:1], 10, axis=0)
    for samples in (p, same, p.astype(np.float32)):
        entropy, mutual_information = binary_uncertainty(samples)
        assert np.isfinite(entropy).all() and (entropy <= LOG2 + 1e-12).all()
        assert (mutual_information >= 0).all() and (mutual_information <= entropy).all()
    assert binary_uncertainty(same).mutual_information.max() < 1e-12


def test_order_of_samples_has_no_effect():
    p = np.random.default_rng(3).random((5, 8))
    for a, b in zip(binary_uncertainty(p), binary_uncertainty(p[::-1]), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)


def test_logits_are_refused():
    with pytest.raises(AssertionError, match="probabilities must be in"):
        binary_uncertainty(np.array([[-0.3], [1.2]]))


def test_methods_are_in_bits_and_one_sample_has_no_mutual_information():
    tumor, grade = np.array([[0.0, 0.5], [1.0, 0.5]]), np.array([[1.0, 0.0], [0.5, 0.5]])
    found = methods_of("mc", tumor, grade)
    assert list(found) == ["mc_entropy", "mc_mutual_information"]
    np.testing.assert_allclose(found["mc_entropy"].voxels, [1, 1])
    np.testing.assert_allclose(found["mc_mutual_information"].voxels, [1, 0], atol=1e-12)
    np.testing.assert_allclose(found["mc_entropy"].p_wt, [0.5, 0.5])
    quarter = -(0.25 * np.log2(0.25) + 0.75 * np.log2(0.75))
    assert found["mc_entropy"].p_hgg == 0.25 and found["mc_entropy"].grade == pytest.approx(quarter)
    assert found["mc_mutual_information"].grade == pytest.approx(quarter - 0.5)
    assert list(methods_of("softmax", tumor[:1], None)) == ["softmax_entropy"]
    assert methods_of("softmax", None, grade[:1])["softmax_entropy"].voxels is None
