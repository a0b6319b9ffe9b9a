import numpy as np
import pytest
from scipy.stats import binom, norm

from btlib.core.metrics import classification, resampling
from btlib.core.metrics.classification import ci95, resampled_scores, scores
from btlib.core.metrics.predictions import Predictions
from btlib.core.metrics.resampling import exact_ci95, interval, stratified_weights
from tests.core.metrics.oracle import expected_scores


def rng():
    return np.random.default_rng(0)


def test_every_class_keeps_its_size():
    labels = np.repeat([0, 1, 2, 3], (60, 40, 35, 22))
    weights = stratified_weights(np.random.default_rng(1).permutation(labels), 50, rng())
    labels = np.random.default_rng(1).permutation(labels)
    for k, size in enumerate((60, 40, 35, 22)):
        assert (weights[:, labels == k].sum(axis=1) == size).all()
    assert weights.shape == (50, 157) and not np.array_equal(weights[0], weights[1])


def test_rows_are_drawn_evenly():
    weights = stratified_weights(np.repeat([0, 1], (10, 30)), 20_000, rng())
    np.testing.assert_allclose(weights.mean(axis=0), 1, atol=0.03)
    np.testing.assert_allclose(weights[:, :10].var(axis=0), 0.9, atol=0.05)  # binomial(10, 1/10)


def test_images_of_one_group_are_drawn_together():
    strata, groups = np.repeat([0, 1], (30, 20)), np.concatenate([np.arange(30) // 3, np.arange(20) + 100])
    weights = stratified_weights(strata, 20_000, rng(), groups)
    triples = weights[:, :30].reshape(-1, 10, 3)
    assert (triples == triples[:, :, :1]).all()
    assert (triples[:, :, 0].sum(axis=1) == 10).all() and (weights[:, 30:].sum(axis=1) == 20).all()
    np.testing.assert_allclose(weights[:, :30].var(axis=0), 0.9, atol=0.05)  # binomial(10, 1/10)
    split = np.arange(50) % 7  # groups with members in both strata
    assert (stratified_weights(strata, 9, rng(), split)[:, 30:].max(axis=1) > 1).all()


def test_copies_of_images_do_not_change_the_interval():
    """With each image three times as one group the interval stays; without groups it shrinks by √3."""
    single = two_classes(160, 200)
    copies = Predictions(
        np.arange(1200).astype(object),
        np.repeat(single.labels, 3),
        np.repeat(single.probabilities, 3, axis=0),
        ("a", "b"),
    )

    def width(given, groups=None):
        low, high = ci95(given, 1.0, 15, 4000, rng(), groups)["accuracy"]
        return high - low

    assert width(copies, np.arange(1200) // 3) == pytest.approx(width(single), rel=0.05)
    assert width(copies) == pytest.approx(width(single) / np.sqrt(3), rel=0.08)


def test_the_scores_match_scikit_learn(predictions):
    assert scores(predictions, 1.7, 15) == pytest.approx(expected_scores(predictions, 1.7, 15))


def test_weights_are_equivalent_to_repeated_rows(predictions):
    weights = stratified_weights(predictions.labels, 6, rng())
    found = resampled_scores(predictions, 0.6, 15, weights)
    for b, row_weights in enumerate(weights):
        rows = np.repeat(np.arange(len(row_weights)), row_weights.astype(int))
        repeated = Predictions(
            predictions.image_ids[rows], predictions.labels[rows], predictions.probabilities[rows], predictions.classes
        )
        assert {name: float(value[b]) for name, value in found.items()} == pytest.approx(
            expected_scores(repeated, 0.6, 15)
        )


def two_classes(hits: int, size: int) -> Predictions:
    """Two classes of `size` images, `hits` of each predicted correctly."""
    said = np.where(np.arange(size) < hits, 0.9, 0.2)
    probabilities = np.concatenate([np.stack([said, 1 - said], axis=1), np.stack([1 - said, said], axis=1)])
    return Predictions(np.arange(2 * size).astype(object), np.repeat([0, 1], size), probabilities, ("a", "b"))


def test_accuracy_interval_is_the_binomial_one():
    # with equal accuracy p in both strata the resampled hits are binomial(2·size, p)
    low, high = ci95(two_classes(180, 200), 1.0, 15, 4000, rng())["accuracy"]
    assert low == pytest.approx(binom.ppf(0.025, 400, 0.9) / 400, abs=0.004)
    assert high == pytest.approx(binom.ppf(0.975, 400, 0.9) / 400, abs=0.004)
    assert (high - low) / 2 == pytest.approx(norm.ppf(0.975) * np.sqrt(0.9 * 0.1 / 400), rel=0.08)


def test_intervals_contain_the_scores_and_are_keyed(predictions):
    found = ci95(predictions, 1.3, 15, 400, rng())
    estimates = scores(predictions, 1.3, 15)
    assert set(found) == set(estimates)
    for name in set(estimates) - {"ece", "ece_temperature_scaled"}:  # the ECE is biased upwards in resamples
        assert found[name][0] < estimates[name] < found[name][1], name
    assert ci95(predictions, 1.3, 15, 400, rng()) == found
    assert ci95(predictions, 1.3, 15, 400, np.random.default_rng(1)) != found


def test_the_number_of_resamples_is_exact_across_chunks(predictions, monkeypatch):
    counted = []
    original = classification.resampled_scores
    monkeypatch.setattr(
        classification, "resampled_scores", lambda *given: counted.append(len(given[-1])) or original(*given)
    )
    ci95(predictions, 1.0, 15, 2 * resampling.CHUNK + 1, rng())
    assert counted == [resampling.CHUNK, resampling.CHUNK, 1]


def test_interval_is_the_central_95_percent():
    assert interval(np.arange(1001.0)) == [25.0, 975.0]


def test_the_exact_interval_keeps_its_width_without_errors():
    assert exact_ci95(50, 50) == pytest.approx([0.025 ** (1 / 50), 1.0])
    assert ci95(two_classes(25, 25), 1.0, 15, 100, rng())["accuracy"] == [1.0, 1.0]


@pytest.mark.parametrize("hits", [0, 20])
def test_all_wrong_and_all_right_give_finite_scores(hits):
    found = resampled_scores(two_classes(hits, 20), 1.0, 15, stratified_weights(np.repeat([0, 1], 20), 5, rng()))
    assert all(np.isfinite(values).all() for values in found.values())
    assert found["accuracy"].tolist() == [hits / 20] * 5
    assert found["kappa"].tolist() == [1.0 if hits else -1.0] * 5
