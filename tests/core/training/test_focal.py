import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy, one_hot

from btlib.core.training.focal import class_weights, focal_loss, smooth, soft_cross_entropy

ONES = torch.ones(4)


def test_by_hand():
    """p = (0.7, 0.1, 0.1, 0.1), class 0, ε = 0.1: y* = (0.925, 0.025, …), p_t = 0.655."""
    logits = torch.tensor([[0.7, 0.1, 0.1, 0.1]]).log()
    target = smooth(torch.tensor([[1.0, 0, 0, 0]]), 0.1)
    torch.testing.assert_close(target, torch.tensor([[0.925, 0.025, 0.025, 0.025]]))
    expected = -0.5 * (1 - 0.655) ** 2 * torch.tensor([0.655]).log()
    torch.testing.assert_close(focal_loss(logits, target, 2.0, 0.5 * ONES), expected)


@given(st.integers(0, 1000))
def test_without_gamma_and_smoothing_it_is_weighted_cross_entropy(seed):
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(8, 4, generator=generator)
    labels = torch.randint(0, 4, (8,), generator=generator)
    alpha = torch.rand(4, generator=generator) + 0.1
    expected = cross_entropy(logits, labels, weight=alpha, reduction="none")
    hard = one_hot(labels, 4).float()
    torch.testing.assert_close(focal_loss(logits, hard, 0.0, alpha), expected)
    torch.testing.assert_close(soft_cross_entropy(logits, hard, alpha), expected)


@given(st.integers(0, 1000), st.floats(0.01, 0.3))
def test_soft_cross_entropy_is_torchs_with_label_smoothing(seed, epsilon):
    generator = torch.Generator().manual_seed(seed)
    logits, labels = torch.randn(8, 4, generator=generator), torch.randint(0, 4, (8,), generator=generator)
    expected = cross_entropy(logits, labels, label_smoothing=epsilon, reduction="none")
    torch.testing.assert_close(soft_cross_entropy(logits, smooth(one_hot(labels, 4).float(), epsilon), ONES), expected)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 3.0])
@pytest.mark.parametrize("scale", [1.0, 100.0, 1e4])
@pytest.mark.parametrize("epsilon", [0.0, 0.05])
def test_gradients_are_finite_at_extreme_logits(gamma, scale, epsilon):
    logits = (scale * torch.eye(4)).repeat(4, 1).requires_grad_()
    target = smooth(one_hot(torch.arange(16) // 4, 4).float(), epsilon)
    loss = focal_loss(logits, target, gamma, ONES)
    loss.sum().backward()
    assert loss.isfinite().all()
    assert (loss >= 0).all()
    assert logits.grad.isfinite().all()


def test_gamma_down_weights_easy_samples():
    logits = torch.tensor([[4.0, 0, 0, 0], [0.5, 0, 0, 0]])
    target = one_hot(torch.tensor([0, 0]), 4).float()
    ratio = focal_loss(logits, target, 2.0, ONES) / focal_loss(logits, target, 0.0, ONES)
    p = logits.softmax(1)[:, 0]
    torch.testing.assert_close(ratio, (1 - p) ** 2)


def test_class_weights():
    counts = torch.tensor([10, 20, 30, 40])
    weights = class_weights("inverse_frequency", counts)
    torch.testing.assert_close(weights, torch.tensor([2.5, 1.25, 100 / 120, 0.625]))
    assert (weights * counts).sum() / counts.sum() == 1
    assert class_weights(0.5, counts).tolist() == [0.5] * 4
