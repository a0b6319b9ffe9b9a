import numpy as np
import pandas as pd
import pytest

from btlib.images.evaluation.agreement import agreement_scores
from btlib.images.explain.consistency import agreement_table

IDS, LABELS = [f"i{n}" for n in range(8)], ["a"] * 4 + ["b"] * 4


def rng():
    return np.random.default_rng(0)


def table(maps):
    return agreement_table(IDS, LABELS, maps, rng())


def test_correlations_by_numpy():
    maps = np.random.default_rng(1).random((3, 8, 5, 6))
    found = table({"fused": maps})
    pairs = [(0, 1), (0, 2), (1, 2)]
    for n in range(8):
        expected = np.mean([np.corrcoef(maps[a, n].ravel(), maps[b, n].ravel())[0, 1] for a, b in pairs])
        assert found["agreement"][n] == pytest.approx(expected)
    assert found["image_id"].tolist() == IDS and found["label"].tolist() == LABELS


def test_image_specific_maps_agree_only_unshuffled():
    maps = np.random.default_rng(1).random((8, 32, 32))
    found = table({"fused": np.stack([maps, 2 * maps + 1])})
    np.testing.assert_allclose(found["agreement"], 1)
    assert found["shuffled"].abs().max() < 0.2


def test_constant_maps_agree_equally_when_shuffled():
    place = np.random.default_rng(1).random((6, 6))
    found = table({"fused": np.broadcast_to(place, (2, 8, 6, 6))})
    np.testing.assert_allclose(found[["agreement", "shuffled"]], 1)


def test_the_other_image_is_of_the_same_class():
    maps = np.zeros((2, 8, 2, 4))
    maps[:, :4, 0, 0] = maps[:, 4:, 1, 3] = 1  # one place per class
    np.testing.assert_allclose(table({"fused": maps})["shuffled"], 1)


def test_flat_maps_have_no_correlation():
    maps = np.random.default_rng(1).random((3, 8, 4, 4))
    maps[0, 2] = 0  # flat under one of three seeds: one pair remains
    maps[:2, 5] = 0
    found = table({"fused": maps})["agreement"]
    assert found[2] == pytest.approx(np.corrcoef(maps[1, 2].ravel(), maps[2, 2].ravel())[0, 1])
    assert np.isnan(found[5]) and found.notna().sum() == 7


def test_scores_by_class_with_intervals():
    agreement = pd.DataFrame(
        {
            "image_id": IDS,
            "label": LABELS,
            "map": "fused",
            "agreement": [0.2] * 4 + [0.6, 0.8, 0.7, np.nan],
            "shuffled": 0.1,
        }
    ).assign(shuffled=0.1)
    scores = agreement_scores(agreement, 500, rng())["fused"]
    assert scores["a"]["n"] == 4 and scores["b"]["n"] == 3 and scores["all"]["n"] == 7
    assert scores["b"]["agreement"] == pytest.approx(0.7) and scores["a"]["ci95"]["agreement"] == pytest.approx(
        [0.2, 0.2]
    )
    low, high = scores["b"]["ci95"]["agreement"]
    assert 0.6 <= low < 0.7 < high <= 0.8 + 1e-9
    assert agreement_scores(agreement[:0], 500, rng()) == {}
