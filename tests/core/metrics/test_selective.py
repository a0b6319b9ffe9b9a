"""The threshold below which an answer is "unsure", on tables small enough to do by hand."""

import numpy as np
import pytest

from btlib.core.metrics.selective import unsure_threshold


def chosen(confidence, correct, error_rate):
    found = unsure_threshold(np.array(confidence), np.array(correct, dtype=bool), error_rate)
    return found["threshold"], found["validation_kept"], found["validation_errors"]


def test_the_smallest_threshold_that_meets_the_error_rate():
    confidence = [0.9, 0.8, 0.7, 0.6, 0.5]
    assert chosen(confidence, [1, 1, 1, 0, 0], 0.0) == (0.7, 3, 0)
    assert chosen(confidence, [1, 1, 1, 0, 0], 0.25) == (0.6, 4, 1)  # 1 of 4
    assert chosen(confidence, [1, 1, 1, 0, 0], 0.4) == (0.5, 5, 2)  # 2 of 5
    assert chosen(confidence[::-1], [0, 0, 1, 1, 1], 0.25) == (0.6, 4, 1)  # in any order


def test_it_may_be_below_thresholds_that_exceed_the_error_rate():
    """The most confident answer is wrong: 1 of 1 alone, 1 of 10 among ten."""
    confidence, correct = np.linspace(0.99, 0.9, 10), [0] + 9 * [1]
    assert chosen(confidence, correct, 0.1) == (pytest.approx(0.9), 10, 1)
    assert chosen(confidence, correct, 0.09) == (2.0, 0, 0)


def test_equal_confidences_are_kept_or_dropped_together():
    assert chosen([0.9, 0.8, 0.8], [1, 1, 0], 0.2) == (0.9, 1, 0)
    assert chosen([0.9, 0.8, 0.8], [1, 1, 0], 0.34) == (0.8, 3, 1)


def test_everything_is_kept_without_errors_and_nothing_with_errors_only():
    assert chosen([0.3, 0.4], [1, 1], 0.05) == (0.3, 2, 0)
    assert chosen([0.3, 0.4], [0, 0], 0.05) == (2.0, 0, 0)


def test_the_counts_match_the_rule_that_prediction_applies():
    """Unsure means confidence < threshold, and no smaller threshold in the table meets the error rate."""
    rng = np.random.default_rng(0)
    confidence = np.round(rng.uniform(0.25, 1, 500), 2)
    correct = rng.random(500) < confidence
    found = unsure_threshold(confidence, correct, 0.15)
    kept = confidence >= found["threshold"]
    assert found["validation_answers"] == 500 and 0 < kept.sum() < 500
    assert (found["validation_kept"], found["validation_errors"]) == (kept.sum(), (kept & ~correct).sum())
    assert found["validation_errors"] <= 0.15 * found["validation_kept"]
    for lower in np.unique(confidence[~kept]):
        assert (~correct)[confidence >= lower].mean() > 0.15
