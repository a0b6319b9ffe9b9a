import pytest
import torch
from torch import nn

from btlib.images.nets.backbones import Backbone
from btlib.images.nets.classifier import Architecture, build_classifier
from btlib.images.nets.trunk import FrozenTrunk

FAMILIES = [  # with the number of BatchNorms that no convolution precedes
    ("efficientnet_b0", 0),
    ("test_convnext", 0),
    ("test_resnet", 1),  # the deep stem's last convolution is in a Sequential of its own
    ("resnet50", 0),
    ("densenet121", 62),  # before the first convolution of 58 layers, in 3 transitions and at the end
    ("vgg11_bn", 0),
    ("attention_cnn", 0),
]


def classifier(*names, lesion=False):
    """One whose BatchNorm statistics are far from 0 and 1."""
    torch.manual_seed(0)
    fusion = "none" if len(names) == 1 else "concatenation"
    states = {name: Backbone(name).net.state_dict() for name in names}
    net = build_classifier(Architecture(names, fusion, 8, 2, 0.0, ("a", "b"), lesion=lesion), states, 0)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
    return net


@pytest.fixture(scope="module")
def net():
    return classifier("tf_efficientnet_lite0", "test_convnext")


@pytest.mark.parametrize("fraction", [0.0, 0.2, 0.6, 1.0])
def test_the_folded_trunk_computes_what_the_network_does(net, fraction):
    cuts = net.cuts_for(fraction)
    images = torch.rand(2, 3, 64, 48)
    with torch.no_grad():
        expected = net.trunk(images, cuts)
        for (folded,), (plain,) in zip(FrozenTrunk(net, cuts)(images), expected, strict=True):
            torch.testing.assert_close(folded, plain, atol=1e-4 * plain.abs().max().item(), rtol=1e-4)


@pytest.mark.parametrize("fraction", [0.0, 0.5, 1.0])
def test_the_folded_trunk_keeps_the_levels_of_a_pyramid(fraction):
    net = classifier("tf_efficientnet_lite0", "test_convnext", lesion=True)
    cuts, images = net.cuts_for(fraction), torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        whole, expected = net.features(images), net.tail(net.trunk(images, cuts), cuts)
        found = net.tail(FrozenTrunk(net, cuts)(images), cuts)
        torch.testing.assert_close(whole, expected, atol=0, rtol=0)
        torch.testing.assert_close(net.read(found), net.read(expected), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(("name", "left"), FAMILIES)
def test_every_family_folds(name, left):
    """In double precision, where only a wrong fold can differ: rounding grows along a deep network."""
    net = classifier(name).double()
    images = torch.rand(2, 3, 64, 48, dtype=torch.float64)
    for fraction in (0.5, 0.0):
        cuts = net.cuts_for(fraction)
        trunk = FrozenTrunk(net, cuts)
        with torch.no_grad():
            ((folded,),), ((plain,),) = trunk(images), net.trunk(images, cuts)
        assert (folded - plain).abs().max() < 1e-10 * plain.abs().max()
    assert sum(isinstance(module, nn.BatchNorm2d) for module in trunk.modules()) == left


def test_no_batchnorm_is_left_and_the_network_stays_as_it_is(net):
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    trunk = FrozenTrunk(net, net.cuts_for(0.0))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in trunk.modules())
    assert not any(parameter.requires_grad for parameter in trunk.parameters())
    assert before.keys() == net.state_dict().keys()
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


def test_only_the_units_before_the_cuts_are_copied(net):
    convnext = net.backbones[1]
    kept = [parameter.shape for unit in convnext.units[:3] for parameter in unit.parameters()]
    assert [parameter.shape for parameter in FrozenTrunk(net, (0, 3)).parameters()] == kept
