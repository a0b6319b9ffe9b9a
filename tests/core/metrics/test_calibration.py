import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from torchmetrics.functional.classification import multiclass_calibration_error

from btlib.core.metrics.calibration import TEMPERATURES, bin_numbers, fit_temperature, reliability, scale
from btlib.core.metrics.sample import expected_calibration_error


def ece(confidence, correct, bins):
    return float(expected_calibration_error(confidence, correct, bins, np.ones((1, len(correct))))[0])


def test_ece_by_hand():
    confidence = np.array([0.95, 0.85, 0.85, 0.35])
    correct = np.array([True, True, False, False])
    # bins of 0.1: |1 − 0.95|·1/4 + |0.5 − 0.85|·2/4 + |0 − 0.35|·1/4
    assert ece(confidence, correct, bins=10) == pytest.approx(0.05 / 4 + 0.35 / 2 + 0.35 / 4)


def test_confidence_one_is_in_the_last_bin_with_its_neighbors():
    # torchmetrics 1.9 puts 1.0 into a bin of its own: its answer here is 0.5 · 0.05 + 0.5 · 1 instead of |0.5 − 0.975|
    assert ece(np.array([1.0, 0.95]), np.array([False, True]), bins=10) == pytest.approx(0.475)
    assert bin_numbers(np.array([1.0, 0.95, 0.0]), 10).tolist() == [9, 9, 0]


def test_bins_are_closed_above():
    assert bin_numbers(np.array([0.25, 0.250001, 0.5, 0.75, 0.750001]), 4).tolist() == [0, 1, 1, 2, 3]


@pytest.mark.parametrize("bins", [10, 15])
def test_torchmetrics_agrees_away_from_one(bins):
    rng = np.random.default_rng(0)
    probabilities, labels = rng.dirichlet(np.ones(4) / 2, size=500), rng.integers(0, 4, 500)
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    theirs = multiclass_calibration_error(torch.tensor(probabilities), torch.tensor(labels), 4, n_bins=bins)
    assert ece(confidence, correct, bins) == pytest.approx(float(theirs), abs=1e-6)


def test_ece_is_small_if_calibrated_and_the_gap_if_overconfident():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.3, 1, 200_000)
    correct = rng.random(200_000) < confidence
    assert ece(confidence, correct, 15) < 0.005
    assert ece(np.full(200_000, 0.99), rng.random(200_000) < 0.7, 15) == pytest.approx(0.29, abs=0.005)


def test_a_constant_predictor_at_the_base_rate_is_calibrated():
    correct = np.arange(100) < 40
    assert ece(np.full(100, 0.4), correct, 15) == pytest.approx(0, abs=1e-12)


def test_a_perfect_predictor_has_ece_zero():
    assert ece(np.ones(10), np.ones(10, dtype=bool), 15) == 0


def test_reliability_counts_every_image_once():
    confidence = np.random.default_rng(0).uniform(0.25, 1, 300)
    table = reliability(confidence, confidence > 0.6, 15)
    assert table["count"].sum() == 300 and len(table) == 15
    filled = table[table["count"] > 0]
    assert ((filled["confidence"] > filled["lower"]) & (filled["confidence"] <= filled["upper"])).all()
    assert table[table["count"] == 0][["accuracy", "confidence"]].isna().all(axis=None)


@pytest.mark.parametrize("known", [0.5, 1.0, 2.5])
def test_temperature_is_recovered(known):
    rng = np.random.default_rng(1)
    logits = 2 * rng.normal(size=(40_000, 4))
    labels = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)  # drawn from softmax(logits)
    found = fit_temperature(softmax(logits * known, axis=1), labels, np.arange(len(labels)))
    assert found == pytest.approx(known, rel=0.03)


def test_temperature_minimises_the_negative_log_likelihood(predictions):
    probabilities, labels = predictions.probabilities * 0.97 + 0.0075, predictions.labels
    n = len(labels)

    def loss(log_t):
        rows = log_softmax(np.log(probabilities) / np.exp(log_t), axis=1)
        return -(n * rows[np.arange(n), labels] + rows.mean(axis=1)).sum()

    reference = np.exp(minimize(loss, [0.0], method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-10}).x[0])
    assert fit_temperature(probabilities, labels, np.arange(n)) == pytest.approx(reference, rel=1e-3)


def test_an_image_counts_once_however_many_copies_it_has(predictions):
    probabilities, labels = predictions.probabilities * 0.97 + 0.0075, predictions.labels
    alone = np.arange(len(labels))
    rows = np.concatenate([alone, np.repeat(np.flatnonzero(~predictions.correct)[:1], 30)])
    once = fit_temperature(probabilities, labels, alone)
    assert fit_temperature(probabilities[rows], labels[rows], rows) == pytest.approx(once, rel=1e-5)
    assert fit_temperature(probabilities[rows], labels[rows], np.arange(len(rows))) > 1.1 * once


def test_without_errors_the_temperature_stays_above_its_bound():
    labels = np.arange(40) % 4
    logits = 3 * np.eye(4)[labels] + np.random.default_rng(0).normal(size=(40, 4)) * 0.1
    temperature = fit_temperature(softmax(logits, axis=1), labels, np.arange(40))
    assert TEMPERATURES[0] * 2 < temperature < 1
    # one pseudo-observation of uniform label among 41: three quarters of it contradict the prediction
    assert scale(softmax(logits, axis=1), temperature).max(axis=1).mean() == pytest.approx(1 - 0.75 / 41, abs=0.002)


def test_scaling_keeps_the_ranking_and_one_changes_nothing(predictions):
    probabilities = predictions.probabilities
    np.testing.assert_allclose(scale(probabilities, 1.0), probabilities, atol=1e-12)
    for temperature in TEMPERATURES:
        scaled = scale(probabilities, temperature)
        top = scaled[np.arange(len(scaled)), predictions.predicted]
        np.testing.assert_allclose(scaled.sum(axis=1), 1)
        assert (top == scaled.max(axis=1)).all()


def test_rows_may_have_their_own_temperatures(predictions):
    probabilities = predictions.probabilities
    each = np.random.default_rng(0).choice([0.5, 1.0, 3.0], len(probabilities))
    scaled = scale(probabilities, each)
    for temperature in (0.5, 1.0, 3.0):
        rows = each == temperature
        np.testing.assert_array_equal(scaled[rows], scale(probabilities, temperature)[rows])
    np.testing.assert_array_equal(scale(probabilities, np.full(len(each), 3.0)), scale(probabilities, 3.0))
    by_hand = np.sqrt(probabilities[each != 0][:1])  # at T = 2
    np.testing.assert_allclose(scale(probabilities[:1], np.array([2.0])), by_hand / by_hand.sum(), atol=1e-12)


def test_underflowed_probabilities_stay_finite():
    extreme = np.array([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [1.0, 0.0, 0.0, 0.0]])
    temperature = fit_temperature(extreme, np.array([0, 1, 2, 3]), np.arange(4))
    assert TEMPERATURES[0] <= temperature <= TEMPERATURES[1]
    assert np.isfinite(scale(extreme, temperature)).all()
