import numpy as np
import pytest
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from btlib.images.explain.contrast_match import BINS, gray_level_scores, gray_levels, matched


def heads(gray, count, rng):
    """Round heads of about one grey level on black, uint8 [count, 48, 48, 3]."""
    y, x = np.mgrid[:48, :48] - 23.5
    levels = np.where(np.hypot(y, x) < 18, gray, 0)[None, ..., None] + rng.integers(0, 12, (count, 48, 48, 1))
    return np.repeat(levels, 3, axis=3).astype(np.uint8)


def test_gray_levels_are_shares_of_the_head():
    levels = gray_levels(heads(160, 2, np.random.default_rng(0)))
    assert levels.shape == (2, BINS) and levels.sum(axis=1) == pytest.approx(1)
    assert levels[:, 20:22].sum(axis=1).min() > 0.9  # 160 … 171 in bins of eight
    assert (gray_levels(np.zeros((1, 48, 48, 3), np.uint8)) == 0).all()


def test_classes_separable_by_contrast_do_not_match():
    rng = np.random.default_rng(0)
    train, test = (np.concatenate([heads(90, 20, rng), heads(200, 20, rng)]) for _ in range(2))
    tumor = np.arange(40) >= 20
    scores = gray_level_scores(train, tumor, test)
    assert scores[tumor].min() > 0.9 > 0.1 > scores[~tumor].max()
    assert not matched(scores, tumor).any()


def test_partners_are_nearest_within_the_caliper_and_used_once():
    logits = np.array([0.0, 2.0, 2.01, 0.02, 2.4, -3.0])
    tumor = np.array([True, True, True, False, False, False])
    # variances 0.893 and 4.883, so the caliper is 0.34: 0.00 with 0.02; 2.01 is too far from 2.40, 2.00 farther still
    scores = expit(logits)
    assert matched(scores, tumor).tolist() == [True, False, False, True, False, False]
    # 2.30 is matched with 2.01, the closest, and 2.00 stays unmatched
    scores[4] = expit(2.3)
    assert matched(scores, tumor).tolist() == [True, False, True, True, True, False]
    shuffled = np.random.default_rng(1).permutation(6)
    assert matched(scores[shuffled], tumor[shuffled]).tolist() == matched(scores, tumor)[shuffled].tolist()


def test_caliper_does_not_depend_on_the_gap_between_groups():
    logits = np.array([0.0, 2.0, 2.3, 4.3])
    # within each group the sd is 1, so the caliper is 0.2, not 0.3 as with the sd of all four, 1.52
    assert not matched(expit(logits), logits > 2.1).any()
    assert matched(expit(logits - [0, 0, 0.15, 0.15]), logits > 2.1).tolist() == [False, True, True, False]


def test_matching_balances_groups_and_scores():
    rng = np.random.default_rng(0)
    tumor = np.repeat([True, False], (300, 100))
    scores = expit(rng.normal(size=400) + 2 * tumor)
    chosen = matched(scores, tumor)
    assert chosen[tumor].sum() == chosen[~tumor].sum() > 20
    assert roc_auc_score(tumor, scores) > 0.85
    assert roc_auc_score(tumor[chosen], scores[chosen]) == pytest.approx(0.5, abs=0.05)
    assert (matched(scores, tumor) == chosen).all()


def test_scores_of_zero_and_one_match_only_equal_scores():
    scores = np.array([1.0, 1 - 1e-7, 0.0, 0.5])
    assert not matched(scores, np.array([True, False, True, False])).any()
    assert matched(np.full(2, 1.0), np.array([True, False])).all()
