import json

import numpy as np
import pandas as pd
import pytest

from btlib.core.metrics.outlines import outline_scores, weighted_median
from btlib.core.metrics.resampling import exact_ci95

COLUMNS = ["image_id", "label", "dice", "false_outline", "group"]
NAN = np.nan


def table() -> pd.DataFrame:
    rows = [(f"g{n}", "glioma", (0.2, 0.6)[n % 2], NAN, n) for n in range(40)]
    rows += [(f"p{n}", "pituitary", 0.9, NAN, 40 + n) for n in range(20)]
    rows += [(f"h{n}", "no_tumor", NAN, float(n < 4), 60 + n) for n in range(16)]
    return pd.DataFrame(rows, columns=COLUMNS)


def scores(rows, resamples=5000):
    return outline_scores(rows, resamples, np.random.default_rng(0))


def test_means_and_medians_by_hand():
    found = scores(table(), 100)
    assert list(found) == ["all", "glioma", "pituitary"]
    assert (found["all"]["n"], found["glioma"]["n"], found["pituitary"]["n"]) == (60, 40, 20)
    assert found["all"]["dice"] == pytest.approx((20 * 0.2 + 20 * 0.6 + 20 * 0.9) / 60)
    assert found["all"]["dice_median"] == pytest.approx(0.6)
    assert found["glioma"]["dice"] == pytest.approx(0.4) and found["glioma"]["dice_median"] == pytest.approx(0.4)
    assert found["pituitary"]["ci95"] == {"dice": pytest.approx([0.9, 0.9]), "dice_median": pytest.approx([0.9, 0.9])}
    assert found["all"]["n_without"] == 16 and found["all"]["false_outlines"] == 0.25
    assert found["all"]["false_outlines_ci95_exact"] == exact_ci95(4, 16)
    assert "false_outlines" not in found["glioma"]


def test_intervals_are_those_of_the_mean_and_the_share():
    found = scores(table())
    low, high = found["glioma"]["ci95"]["dice"]  # 0.4 ± 1.96 · 0.2 / √40
    assert (low, high) == (pytest.approx(0.338, abs=0.01), pytest.approx(0.462, abs=0.01))
    low, high = found["all"]["ci95"]["dice"]  # pituitary adds no spread
    assert (low, high) == (pytest.approx(0.567 - 0.041, abs=0.01), pytest.approx(0.567 + 0.041, abs=0.01))
    low, high = found["all"]["ci95"]["false_outlines"]  # binomial of 16 with 0.25: 1 to 8 hits
    assert low == pytest.approx(1 / 16, abs=0.07) and high == pytest.approx(7.5 / 16, abs=0.07)


def test_images_of_one_patient_are_drawn_together():
    few = table().assign(group=lambda rows: rows["group"] % 4)  # two patients' gliomas have 0.2, two 0.6
    together = scores(few)["glioma"]
    assert together["dice"] == pytest.approx(0.4)
    assert together["ci95"]["dice"] == pytest.approx([0.2, 0.6])


def test_a_lesion_in_the_class_without_tumors_is_a_stratum_of_its_own():
    """Otherwise a resample could have no image without a lesion, and its share would be undefined."""
    odd = pd.DataFrame([("a", "no_tumor", 0.5, NAN, 0), ("b", "no_tumor", NAN, 1.0, 1)], columns=COLUMNS)
    found = scores(odd, 200)
    assert found["all"]["ci95"] == {"dice": [0.5, 0.5], "dice_median": [0.5, 0.5], "false_outlines": [1, 1]}
    assert found["no_tumor"]["n"] == 1


@pytest.mark.parametrize("kind", ["without lesions", "without healthy images", "empty"])
def test_what_is_undefined_is_null(kind):
    rows = table()
    rows = {"without lesions": rows[60:], "without healthy images": rows[:60], "empty": rows[:0]}[kind]
    found = scores(rows, 50)
    known, healthy = kind == "without healthy images", kind == "without lesions"
    for name, there in (("dice", known), ("dice_median", known), ("false_outlines", healthy)):
        assert (found["all"][name] is not None) == (found["all"]["ci95"][name] is not None) == there
    assert (found["all"]["false_outlines_ci95_exact"] is not None) == healthy
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize("seed", range(5))
def test_the_weighted_median_is_that_of_repeated_values(seed):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 5, 9).astype(float)
    weights = rng.integers(0, 3, (20, 9)).astype(float)
    weights[:, 0] += 1
    expected = [np.median(np.repeat(values, row.astype(int))) for row in weights]
    np.testing.assert_allclose(weighted_median(values, weights), expected)
