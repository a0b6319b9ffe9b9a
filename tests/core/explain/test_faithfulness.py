import numpy as np
import pytest

from btlib.core.explain.faithfulness import faithfulness_table, heat_share, pointing_hit


@pytest.fixture
def lesion():
    mask = np.zeros((4, 5), dtype=bool)
    mask[1:3, 1:3] = True  # 4 of 20 pixels
    return mask


def test_hit_and_share_by_hand(lesion):
    heat = np.zeros((4, 5))
    heat[1, 1], heat[0, 0] = 0.75, 0.25
    assert pointing_hit(heat, lesion) == 1 and heat_share(heat, lesion) == 0.75
    heat[3, 4] = 1.0
    assert pointing_hit(heat, lesion) == 0 and heat_share(heat, lesion) == 0.375


def test_uniform_map_scores_the_lesion_share(lesion):
    uniform = np.full((4, 5), 0.3, dtype=np.float32)
    assert pointing_hit(uniform, lesion) == heat_share(uniform, lesion) == pytest.approx(lesion.mean())


def test_map_of_zeros_scores_zero(lesion):
    assert pointing_hit(np.zeros((4, 5)), lesion) == heat_share(np.zeros((4, 5)), lesion) == 0


def test_scale_invariance(lesion):
    heat = np.random.default_rng(0).random((4, 5))
    assert heat_share(heat, lesion) == pytest.approx(heat_share(7 * heat, lesion))


def test_one_row_per_image_and_map(lesion):
    heats = np.random.default_rng(0).random((2, 2, 4, 5))
    table = faithfulness_table(
        ["x", "y"], ["glioma", "pituitary"], {"a": heats[0], "b": heats[1]}, np.stack([lesion, ~lesion])
    )
    assert table["map"].tolist() == ["a", "a", "b", "b"] and table["image_id"].tolist() == ["x", "y"] * 2
    assert table["lesion_share"].tolist() == [0.2, 0.8, 0.2, 0.8]
    assert table["heat_share"][3] == pytest.approx(heats[1, 1][~lesion].sum() / heats[1, 1].sum())
