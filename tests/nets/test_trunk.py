import pytest
import torch
from torch import nn

from btlib.nets.backbones import Backbone
from btlib.nets.classifier import Architecture, build_classifier
from btlib.nets.trunk import FrozenTrunk


@pytest.fixture(scope="module")
def net():
    """Two backbones whose BatchNorm statistics are far from 0 and 1."""
    names = ("tf_efficientnet_lite0", "test_convnext")
    torch.manual_seed(0)
    net = build_classifier(
        Architecture(names, "concatenation", 8, 2, 0.0, ("a", "b")),
        {name: Backbone(name).net.state_dict() for name in names},
        (0,),
    )
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
    return net


@pytest.mark.parametrize("fraction", [0.0, 0.2, 0.6, 1.0])
def test_the_folded_trunk_computes_what_the_network_does(net, fraction):
    cuts = net.cuts_for(fraction)
    images = torch.rand(2, 3, 64, 48)
    with torch.no_grad():
        expected = net.trunk(images, cuts)
        for folded, plain in zip(FrozenTrunk(net, cuts)(images), expected, strict=True):
            torch.testing.assert_close(folded, plain, atol=1e-4 * plain.abs().max().item(), rtol=1e-4)


def test_no_batchnorm_is_left_and_the_network_stays_as_it_is(net):
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    trunk = FrozenTrunk(net, net.cuts_for(0.0))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in trunk.units.modules())
    assert not any(parameter.requires_grad for parameter in trunk.parameters())
    assert before.keys() == net.state_dict().keys()
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
