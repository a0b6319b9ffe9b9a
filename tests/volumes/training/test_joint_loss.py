"""The joint loss by hand, against parts of MONAI and PyTorch, and with missing truth."""

import pytest
import torch
from monai.losses import DiceLoss
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from btlib.volumes.training.loss import dice_ce, grade_loss, segmentation_loss


def test_dice_and_cross_entropy_by_hand():
    target = torch.zeros(1, 2, 2, 2, 2)
    target[..., 0] = 1
    log2 = torch.log(torch.tensor(2.0)).item()
    undecided = torch.zeros_like(target)  # p = 0.5: Dice 2·2 / (4 + 4), and log 2 in both entropies
    assert dice_ce(undecided, target).item() == pytest.approx(0.5 + 1.5 * log2, abs=1e-4)
    sure = 40 * (2 * target - 1)
    assert dice_ce(sure, target).item() == pytest.approx(0, abs=1e-4)
    assert dice_ce(-sure, target).item() == pytest.approx(1 + 40 + 20, abs=1e-3)


def test_without_composition_it_is_monais_dice_and_torchs_entropy():
    logits, target = torch.randn(3, 3, 4, 4, 4), (torch.rand(3, 3, 4, 4, 4) > 0.6).float()
    target[:, 0] = 1  # all tumour: the composition is the mean entropy of the inner regions
    entropy = binary_cross_entropy_with_logits
    theirs = DiceLoss(sigmoid=True)(logits, target) + entropy(logits, target)
    inner = entropy(logits[:, 1:], target[:, 1:])
    torch.testing.assert_close(dice_ce(logits, target).mean(), theirs + inner / 2)


def test_false_voxels_of_an_absent_region_are_costly_in_the_tumor():
    target = torch.zeros(1, 3, 10, 10, 10)
    target[:, :2, :2, :2, :2] = 1  # no enhancing tumour
    right = 10 * (2 * target - 1)
    wrong = right.clone()
    wrong[:, 2, :2, :2, :2] = 10
    assert (dice_ce(wrong, target) - dice_ce(right, target)).item() == pytest.approx(10 / 4, abs=0.05)


def test_sample_without_tumor_has_a_finite_loss():
    loss = dice_ce(torch.randn(1, 3, 4, 4, 4), torch.zeros(1, 3, 4, 4, 4))
    assert torch.isfinite(loss).all()


def test_deep_supervision_halves_each_coarser_level():
    target = (torch.rand(2, 3, 8, 8, 8) > 0.5).float()
    logits, deep = torch.randn(2, 3, 8, 8, 8), [torch.randn(2, 3, 4, 4, 4), torch.randn(2, 3, 2, 2, 2)]
    small = [torch.nn.functional.avg_pool3d(target, k) for k in (2, 4)]
    expected = (dice_ce(logits, target) + dice_ce(deep[0], small[0]) / 2 + dice_ce(deep[1], small[1]) / 4) / 1.75
    torch.testing.assert_close(segmentation_loss(logits, deep, target), expected)
    torch.testing.assert_close(segmentation_loss(logits, [], target), dice_ce(logits, target))


def test_grade_loss_is_weighted_smoothed_cross_entropy_and_zero_where_unknown():
    logits, weights = torch.randn(4, 2), torch.tensor([0.5, 2.0])
    grade = torch.tensor([0, 1, -1, 1])
    found = grade_loss(logits, grade, weights, 0.0)
    known = grade >= 0
    expected = cross_entropy(logits[known], grade[known], weight=weights, reduction="none")
    torch.testing.assert_close(found[known], expected)
    assert found[2] == 0
    smoothed = grade_loss(logits, grade.clamp_min(0), torch.ones(2), 0.2)
    torch.testing.assert_close(
        smoothed, cross_entropy(logits, grade.clamp_min(0), label_smoothing=0.2, reduction="none")
    )


def test_gradients_stay_finite_at_extreme_logits():
    logits = torch.tensor([[1e4, -1e4]] * 2, requires_grad=True)
    grade_loss(logits, torch.tensor([1, 0]), torch.ones(2), 0.1).sum().backward()
    assert torch.isfinite(logits.grad).all()
    regions = (1e4 * torch.randn(1, 3, 4, 4, 4)).requires_grad_()
    segmentation_loss(regions, [], torch.zeros(1, 3, 4, 4, 4)).sum().backward()
    assert torch.isfinite(regions.grad).all()
