import numpy as np
import pytest
import torch
from monai.metrics import compute_dice
from sklearn.metrics import f1_score

from btlib.core.explain.faithfulness import faithfulness_table, heat_share, pointing_hit
from btlib.core.metrics.outlines import dice, outline_table


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


def test_dice_by_hand(lesion):
    assert dice(lesion, lesion) == 1
    assert dice(lesion, ~lesion) == dice(lesion, np.zeros((4, 5), dtype=bool)) == 0
    shifted = np.roll(lesion, 1, axis=1)
    assert dice(lesion, shifted) == 0.5  # 2 of 4 pixels each
    assert dice(lesion, np.ones((4, 5), dtype=bool)) == pytest.approx(8 / 24)


@pytest.mark.parametrize("seed", range(3))
def test_dice_is_monais_and_the_f1_score_of_the_pixels(seed):
    first, second = np.random.default_rng(seed).random((2, 24, 30)) < 0.2
    theirs = compute_dice(torch.from_numpy(second)[None, None], torch.from_numpy(first)[None, None]).item()
    assert dice(first, second) == pytest.approx(theirs)
    assert dice(first, second) == pytest.approx(f1_score(first.ravel(), second.ravel()))


def test_outlines_of_images_with_and_without_a_lesion(lesion):
    nothing = np.zeros((4, 5), dtype=bool)
    outlines = np.stack([lesion, np.roll(lesion, 1, axis=1), nothing, nothing, lesion, lesion])
    lesions = np.stack([lesion, lesion, lesion, nothing, nothing, nothing])
    labels = ["glioma", "glioma", "pituitary", "no_tumor", "no_tumor", "glioma"]
    healthy = np.array([label == "no_tumor" for label in labels])
    table = outline_table(list("abcdef"), labels, outlines, lesions, healthy)
    assert table["image_id"].tolist() == list("abcde")  # whether f has a lesion is unknown
    assert table["label"].tolist() == labels[:5]
    assert table["dice"].tolist() == pytest.approx([1, 0.5, 0, np.nan, np.nan], nan_ok=True)
    assert table["false_outline"].tolist() == pytest.approx([np.nan, np.nan, np.nan, 0, 1], nan_ok=True)
