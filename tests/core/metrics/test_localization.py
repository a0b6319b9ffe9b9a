import json

import numpy as np
import pandas as pd
import pytest

from btlib.core.metrics.localization import localization_scores

COLUMNS = ["image_id", "label", "map", "pointing_hit", "heat_share", "lesion_share", "group"]


def table() -> pd.DataFrame:
    rows = [(f"i{n}", "glioma", "fused", n % 2, 0.4, 0.1, n) for n in range(40)]
    rows += [(f"j{n}", "pituitary", "fused", 1, 0.2 + 0.01 * (n % 3), 0.02, 40 + n) for n in range(20)]
    rows += [(f"i{n}", "glioma", "net_a", 0, 0.1, 0.1, n) for n in range(40)]
    return pd.DataFrame(rows, columns=COLUMNS)


def test_means_by_hand():
    scores = localization_scores(table(), ["net_a", "fused"], 200, np.random.default_rng(0))
    fused = scores["fused"]
    assert fused["glioma"]["pointing_hit"] == 0.5 and fused["pituitary"]["pointing_hit"] == 1
    assert fused["all"]["n"] == 60 and fused["all"]["pointing_hit"] == pytest.approx(40 / 60)
    assert fused["glioma"]["heat_over_uniform"] == pytest.approx(4)
    assert fused["all"]["lesion_share"] == pytest.approx((40 * 0.1 + 20 * 0.02) / 60)
    assert scores["net_a"]["all"]["heat_over_uniform"] == pytest.approx(1)
    assert fused["glioma"]["ci95"]["heat_over_uniform"] == pytest.approx([4, 4])  # every glioma has the same shares


def test_interval_is_the_binomial_one():
    hits = localization_scores(table(), ["fused"], 5000, np.random.default_rng(0))["fused"]
    low, high = hits["glioma"]["ci95"]["pointing_hit"]
    assert low == pytest.approx(0.35, abs=0.03) and high == pytest.approx(0.65, abs=0.03)  # 0.5 ± 1.96·√(0.25/40)
    low, high = hits["all"]["ci95"]["pointing_hit"]  # pituitary adds no spread: (40·[0.35, 0.65] + 20) / 60
    assert low == pytest.approx(34 / 60, abs=0.02) and high == pytest.approx(46 / 60, abs=0.02)


def test_images_of_one_patient_are_drawn_together():
    few = table().assign(group=lambda rows: rows["group"] % 4)  # 40 gliomas of four patients; two are always hit
    together = localization_scores(few, ["fused"], 5000, np.random.default_rng(0))["fused"]["glioma"]
    assert together["pointing_hit"] == 0.5
    assert together["ci95"]["pointing_hit"] == [0, 1]  # a resample of four patients may have only hits, or none


def test_without_masks_every_score_is_null():
    scores = localization_scores(pd.DataFrame(columns=COLUMNS), ["net_a", "fused"], 200, np.random.default_rng(0))
    assert set(scores) == {"net_a", "fused"}
    assert scores["fused"]["all"] == {
        "n": 0,
        "pointing_hit": None,
        "heat_share": None,
        "lesion_share": None,
        "heat_over_uniform": None,
        "ci95": None,
    }
    json.dumps(scores, allow_nan=False)
