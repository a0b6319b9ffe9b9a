"""Agreement of volumes against hand-computed values and NumPy."""

import numpy as np
import pandas as pd
import pytest

from btlib.volumes.evaluation.agreement import volume_agreement, weighted_median
from btlib.volumes.evaluation.cohort import Cohort
from btlib.volumes.evaluation.tables import SEGMENTATION


def cohort(count):
    names = np.array([f"c{n}" for n in range(count)], dtype=object)
    return Cohort(names, names, np.array(["HGG"] * count, dtype=object), np.ones(count, bool))


def table(true, predicted, region="wt"):
    rows = [(f"c{n}", region, 1.0, 1.0, *pair, 1.0) for n, pair in enumerate(zip(true, predicted, strict=True))]
    return pd.DataFrame(rows, columns=SEGMENTATION)


def test_bias_limits_and_median_error_by_hand():
    cases = cohort(4)
    found = volume_agreement(table([10, 20, 40, 0], [12, 19, 50, 1]), cases, np.ones((3, 4)))["wt"]
    change = np.array([2, -1, 10, 1])
    assert found["n"] == 4 and found["bias_ml"] == pytest.approx(3)
    for name, sign in (("lower_ml", -1), ("upper_ml", 1)):
        assert found[name] == pytest.approx(3 + sign * 1.96 * change.std(ddof=1))
    assert found["median_error"] == pytest.approx(0.2), "of 0.2, 0.05 and 0.25: the case without the region is left out"


def test_the_median_is_numpys_of_every_resample():
    rng = np.random.default_rng(0)
    values, weights = rng.random(9), rng.integers(0, 4, (50, 9))
    expected = [np.median(np.repeat(values, row)) for row in weights]
    np.testing.assert_allclose(weighted_median(values, weights.astype(float)), expected)


def test_what_is_undefined_is_none():
    one = volume_agreement(table([10], [12]), cohort(1), np.ones((3, 1)))["wt"]
    assert one["bias_ml"] == 2 and one["lower_ml"] is None and one["ci95"]["upper_ml"] is None
    absent = volume_agreement(table([0, 0], [0, 0], "et"), cohort(2), np.ones((3, 2)))["et"]
    assert absent["bias_ml"] == 0 and absent["median_error"] is None
    nothing = volume_agreement(table([], []), cohort(2), np.ones((3, 2)))["wt"]
    assert nothing["n"] == 0 and nothing["bias_ml"] is None and nothing["median_error"] is None


def test_intervals_come_from_the_resamples():
    cases, weights = cohort(2), np.array([[1, 1], [2, 0], [0, 2]], float)
    found = volume_agreement(table([10, 10], [11, 14]), cases, weights)["wt"]
    assert found["bias_ml"] == 2.5
    assert found["ci95"]["bias_ml"] == pytest.approx(np.percentile([1, 4], [2.5, 97.5]).tolist())
