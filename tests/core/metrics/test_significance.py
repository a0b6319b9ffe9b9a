import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from btlib.core.metrics.significance import ASSUMPTIONS, corrected_paired_t, holm, mcnemar, paired_t

PROPOSED, ARM = [0.95, 0.96, 0.94], [0.93, 0.95, 0.91]  # differences −0.02, −0.01, −0.03: mean −0.02, s = 0.01


def test_the_paired_t_test_by_hand():
    # t = −0.02 / (0.01 / √3) = −√12; with two degrees of freedom p = 1 − |t| / √(2 + t²)
    assert paired_t(PROPOSED, ARM) == pytest.approx({"statistic": -np.sqrt(12), "p": 1 - np.sqrt(12 / 14)})


def test_the_corrected_t_test_by_hand():
    # t² = 0.0004 / (0.0001 · (1/3 + 1/4)) = 48/7, so p = 1 − √(48/7 / (2 + 48/7)) = 1 − √(24/31)
    found = corrected_paired_t(PROPOSED, ARM, n_test=100, n_train=400)
    assert found == pytest.approx({"statistic": -np.sqrt(48 / 7), "p": 1 - np.sqrt(24 / 31)})


def test_the_corrected_t_test_reduces_to_the_one_sample_test_without_test_images():
    rng = np.random.default_rng(1)
    proposed, arm = rng.normal(0.9, 0.02, (2, 7))
    reference = stats.ttest_1samp(arm - proposed, 0)
    expected = {"statistic": reference.statistic, "p": reference.pvalue}
    assert corrected_paired_t(proposed, arm, n_test=0, n_train=10) == pytest.approx(expected)
    assert paired_t(proposed, arm) == pytest.approx(expected)
    assert corrected_paired_t(proposed, arm, n_test=1, n_train=10)["p"] > expected["p"]


def test_swapping_the_models_only_changes_the_sign():
    for test in (paired_t, lambda *given: corrected_paired_t(*given, n_test=1, n_train=8)):
        there, back = test(PROPOSED, ARM), test(ARM, PROPOSED)
        assert there["statistic"] == pytest.approx(-back["statistic"]) and there["p"] == pytest.approx(back["p"])


@pytest.mark.parametrize(
    ("proposed", "arm"), [([], []), ([0.9], [0.8]), ([0.9, 0.8], [0.9, 0.8]), ([0.9, 0.8, 0.3], [0.8, 0.7, 0.2])]
)
def test_without_spread_the_t_tests_are_undefined(proposed, arm):
    undefined = {"statistic": None, "p": None}
    assert paired_t(proposed, arm) == undefined
    assert corrected_paired_t(proposed, arm, n_test=10, n_train=80) == undefined


def right(only_proposed: int, only_arm: int) -> tuple[np.ndarray, np.ndarray]:
    """Two seeds of 20 images: the given numbers right for one model only, 7 for both, the others for neither."""
    cells = np.repeat([[1, 0], [0, 1], [1, 1], [0, 0]], (only_proposed, only_arm, 7, 33 - only_proposed - only_arm), 0)
    shuffled = np.random.default_rng(0).permutation(cells).astype(bool)
    return shuffled[:, 0].reshape(2, 20), shuffled[:, 1].reshape(2, 20)


def test_mcnemar_by_hand():
    # at most 1 of 10 heads: (1 + 10) / 2^10, on both sides
    expected = {"only_proposed_right": 9, "only_arm_right": 1, "p": pytest.approx(22 / 1024)}
    assert mcnemar(*right(9, 1)) == expected
    assert mcnemar(*right(4, 4))["p"] == 1.0


@pytest.mark.parametrize(("only_proposed", "only_arm"), [(0, 5), (3, 8), (12, 2), (1, 0)])
def test_mcnemar_is_the_doubled_binomial_tail(only_proposed, only_arm):
    tail = stats.binom.cdf(min(only_proposed, only_arm), only_proposed + only_arm, 0.5)
    assert mcnemar(*right(only_proposed, only_arm))["p"] == pytest.approx(min(1, 2 * tail))


def test_mcnemar_is_undefined_if_the_models_never_differ():
    assert mcnemar(*right(0, 0)) == {"only_proposed_right": 0, "only_arm_right": 0, "p": None}


def test_holm_by_hand():
    # sorted 0.01·4, 0.02·3, 0.03·2, 0.04·1; the last is raised to the previous one
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.6, 0.5]) == [1.0, 1.0]
    assert holm([]) == []


def test_holm_leaves_undefined_tests_out_of_the_count():
    assert holm([None, 0.02, None, 0.03]) == [None, pytest.approx(0.04), None, pytest.approx(0.04)]
    assert holm([None]) == [None]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.floats(0.001, 0.5))
def test_adjusted_values_decide_like_the_step_down_procedure(p_values, level):
    """Rejects in order of p while p_(i) ≤ level / (m − i), and stops at the first that is larger (Holm 1979)."""
    rejected = set()
    for i, place in enumerate(np.argsort(p_values, kind="stable")):
        if (len(p_values) - i) * p_values[place] > level:
            break
        rejected.add(place)
    assert {place for place, p in enumerate(holm(p_values)) if p <= level} == rejected


def test_every_test_states_its_assumptions():
    assert list(ASSUMPTIONS) == ["paired_t", "corrected_paired_t", "mcnemar", "holm"]
    assert all(sentence.endswith(".") for sentence in ASSUMPTIONS.values())
