"""Wide depthwise convolutions: the same layers, with the same gradients as PyTorch's own."""

from copy import deepcopy

import pytest
import timm
import torch
from torch import nn

from btlib.images.nets.backbones import Backbone
from btlib.images.nets.depthwise import WideDepthwise, quicken


def draw(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape))).double()


def gradients(layer, images):
    layer.zero_grad()
    images = images.clone().requires_grad_()
    out = layer(images)
    out.backward(draw(*out.shape))
    return [out.detach(), images.grad, *(parameter.grad for parameter in layer.parameters())]


def both(kernel, padding, bias=True, channels=6):
    plain = nn.Conv2d(channels, channels, kernel, padding=padding, groups=channels, bias=bias).double()
    quick = nn.Sequential(deepcopy(plain))
    quicken(quick)
    assert type(quick[0]) is WideDepthwise
    return plain, quick[0]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("kernel", "padding", "grid"),
    [
        (5, 2, (3, 4)),
        (5, 2, (1, 1)),
        (7, 3, (1, 1)),
        (9, 4, (2, 2)),
        (11, 5, (1, 3)),
        (5, 2, (9, 2)),
        (7, 3, (8, 8)),
        (7, 0, (9, 8)),
        ((3, 5), (1, 2), (6, 7)),
        ((1, 4), (0, 1), (5, 6)),
        (4, (1, 3), (5, 6)),
    ],
)
def test_gradients_are_pytorchs(kernel, padding, grid, bias):
    plain, quick = both(kernel, padding, bias)
    images = draw(2, 6, *grid)
    for expected, found in zip(gradients(plain, images), gradients(quick, images), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_gradients_are_the_numerical_ones():
    _, quick = both(5, 2, channels=2)
    assert torch.autograd.gradcheck(quick, (draw(1, 2, 3, 3).requires_grad_(),))


def test_under_autocast_the_layer_is_pytorchs():
    plain = nn.Conv2d(6, 6, 5, padding=2, groups=6)
    quick = nn.Sequential(deepcopy(plain))
    quicken(quick)
    images = draw(2, 6, 8, 8).float()
    for layer in (plain, quick[0]):
        with torch.autocast("cpu", torch.bfloat16):
            out = layer(images)
        assert out.dtype == torch.bfloat16
        out.float().sum().backward()
    assert torch.equal(plain.weight.grad, quick[0].weight.grad)


def test_only_what_is_asked_for_gets_a_gradient():
    _, quick = both(5, 2)
    quick(draw(1, 6, 4, 4)).sum().backward()
    assert quick.weight.grad is not None
    quick.zero_grad()
    quick.requires_grad_(False)
    images = draw(1, 6, 4, 4).requires_grad_()
    quick(images).sum().backward()
    assert images.grad is not None and quick.weight.grad is None


def test_other_layers_stay_as_they_are():
    others = nn.Sequential(
        nn.Conv2d(6, 6, 3, groups=6),
        nn.Conv2d(6, 6, 5, groups=3),
        nn.Conv2d(6, 12, 5, groups=6),
        nn.Conv2d(6, 6, 5, groups=6, stride=2),
        nn.Conv2d(6, 6, 5, groups=6, dilation=2),
        nn.Conv2d(6, 6, 5, groups=6, padding="same"),
        nn.Conv2d(6, 6, 5, groups=6, padding=2, padding_mode="reflect"),
    )
    quicken(others)
    assert {type(layer) for layer in others} == {nn.Conv2d}


@pytest.mark.parametrize(("name", "wide"), [("tf_efficientnet_lite0", 7), ("test_convnext", 9), ("resnet18", 0)])
def test_a_backbone_has_the_weights_and_answers_of_timms_network(name, wide):
    backbone, images = Backbone(name), torch.rand(2, 3, 32, 32)
    assert sum(isinstance(layer, WideDepthwise) for layer in backbone.modules()) == wide
    network = timm.create_model(name, num_classes=0).eval()
    network.load_state_dict(backbone.net.state_dict())
    assert torch.equal(backbone.net.eval().forward_features(images), network.forward_features(images))
