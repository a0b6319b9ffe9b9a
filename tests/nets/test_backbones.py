import pytest
import timm
import torch

from btlib.errors import InputError
from btlib.nets.backbones import Backbone

NAMES = ["test_efficientnet", "test_convnext", "tf_efficientnet_lite0"]


@pytest.mark.parametrize("name", NAMES)
def test_units_in_a_row_are_timms_forward_features(name):
    backbone = Backbone(name).eval()
    images = torch.rand(2, 3, 64, 48)
    config = timm.get_pretrained_cfg(name)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (config.mean, config.std))
    with torch.no_grad():
        expected = backbone.net.forward_features((images - mean) / std)
        torch.testing.assert_close(backbone(images), expected)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("fraction", [0.0, 0.2, 0.5, 1.0])
def test_trunk_then_tail_is_the_whole_backbone(name, fraction):
    backbone = Backbone(name).eval()
    cut = backbone.cut_for(fraction)
    images = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(backbone.tail(backbone.trunk(images, cut), cut), backbone(images))


def test_cuts_by_hand():
    lite0 = Backbone("tf_efficientnet_lite0")  # stem, 16 blocks, top
    assert [lite0.cut_for(f) for f in (0.0, 0.2, 0.5, 1.0)] == [18, 14, 9, 0]
    assert Backbone("test_convnext").cut_for(0.01) < len(Backbone("test_convnext").units) - 1


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_runs_in_some_unit(name):
    """All but those of timm's head, which comes after the feature map and is not used."""
    backbone = Backbone(name)
    in_units = {id(p) for unit in backbone.units for p in unit.parameters()}
    unused = {n for n, p in backbone.net.named_parameters() if id(p) not in in_units}
    assert all(n.startswith("head.") for n in unused)


def test_unknown_and_uncuttable_networks_are_refused():
    with pytest.raises(InputError, match="timm has no model 'efficientnet_lite0_tf'"):
        Backbone("efficientnet_lite0_tf")
    with pytest.raises(InputError, match="'test_resnet' is a ResNet; btlib can cut EfficientNet and ConvNeXt"):
        Backbone("test_resnet").units  # noqa: B018
