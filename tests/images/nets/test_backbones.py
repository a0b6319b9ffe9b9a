from functools import cache

import pytest
import timm
import torch
from torch import nn

from btlib.core.runtime.errors import InputError
from btlib.images.nets.backbones import Backbone

TIMM = [
    "test_efficientnet",
    "tf_efficientnet_lite0",
    "efficientnet_b0",
    "test_convnext",
    "test_resnet",
    "resnet50",
    "densenet121",
    "vgg19",
    "vgg11_bn",
]
NAMES = [*TIMM, "attention_cnn"]
CONVOLUTIONS = ["regnetx_002", "mobilenetv3_small_050", "ghostnet_100", "repvgg_a0", "hgnetv2_b0", "nf_resnet26"]
NHWC = ["swin_s3_tiny_224", "test_mambaout"]
TOKENS = ["test_vit", "deit_tiny_distilled_patch16_224"]  # with one and with two tokens before those of the patches
WHOLE = [*CONVOLUTIONS, *NHWC, *TOKENS]


@cache
def backbone(name):
    """Built once, since VGG draws 140 million weights; with BatchNorms that change what passes through them."""
    torch.manual_seed(0)
    made = Backbone(name).eval()
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
    return made


@pytest.mark.parametrize("name", TIMM)
def test_units_in_a_row_are_timms_forward_features(name):
    images = torch.rand(2, 3, 64, 48)
    config = timm.get_pretrained_cfg(name)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (config.mean, config.std))
    assert torch.equal(backbone(name).mean, mean)
    assert torch.equal(backbone(name).std, std)
    with torch.no_grad():
        expected = backbone(name).net.forward_features((images - mean) / std)
        assert torch.equal(backbone(name)(images), expected)


def test_units_of_the_attention_cnn_are_its_forward():
    net = backbone("attention_cnn")
    images = torch.rand(2, 3, 64, 48)
    with torch.no_grad():
        assert torch.equal(net(images), net.net(net.normalize(images)))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("fraction", [0.0, 0.2, 0.5, 1.0])
def test_trunk_then_tail_is_the_whole_backbone(name, fraction):
    cut = backbone(name).cut_for(fraction)
    images = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        between = backbone(name).trunk(images, cut)
        (kept,) = [x.clone() for x in between]
        assert torch.equal(backbone(name).tail(between, cut)[-1], backbone(name)(images))
        assert torch.equal(between[0], kept), "several tails run on one trunk's output"


@pytest.mark.parametrize(
    ("name", "channels"),
    [("vgg19", 512), ("resnet50", 2048), ("densenet121", 1024), ("efficientnet_b0", 1280), ("attention_cnn", 256)],
)
def test_channels_are_those_of_the_feature_map(name, channels):
    with torch.no_grad():
        assert backbone(name)(torch.rand(1, 3, 64, 64)).shape == (1, channels, 2, 2)
    assert backbone(name).channels == channels


@pytest.mark.parametrize(
    ("name", "cuts"),
    [
        ("tf_efficientnet_lite0", [18, 14, 9, 0]),  # stem, 16 blocks, top
        ("resnet50", [18, 14, 9, 0]),  # stem, 3 + 4 + 6 + 3 blocks, top
        ("densenet121", [9, 7, 4, 0]),  # stem, 4 dense blocks with 3 transitions between, top
        ("vgg19", [17, 13, 8, 0]),  # 16 convolutions, top
        ("attention_cnn", [6, 4, 3, 0]),  # stem, 4 blocks, top
    ],
)
def test_cuts_by_hand(name, cuts):
    assert [backbone(name).cut_for(f) for f in (0.0, 0.2, 0.5, 1.0)] == cuts


def test_at_least_one_block_is_free():
    assert backbone("test_convnext").cut_for(0.01) == len(backbone("test_convnext").units) - 2


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_runs_in_one_unit(name):
    """All but those of timm's head, which comes after the feature map and is not used."""
    in_units = [id(p) for unit in backbone(name).units for p in unit.parameters()]
    unused = {n for n, p in backbone(name).net.named_parameters() if id(p) not in in_units}
    assert all(n.startswith("head.") for n in unused)
    assert len(in_units) == len(set(in_units))


@pytest.mark.parametrize("name", WHOLE)
def test_other_families_are_one_unit_frozen_or_trained(name):
    net, images = backbone(name), torch.rand(2, 3, 64, 64)
    assert (net.cut_for(0), net.cut_for(1)) == (1, 0)
    with torch.no_grad():
        expected = net.net.forward_features(net.normalize(images))
        found = net(images)
        assert torch.equal(net.tail(net.trunk(images, 1), 1)[-1], found)
    if name in TOKENS:
        expected = expected[:, net.net.num_prefix_tokens :].transpose(1, 2).reshape(found.shape)
    assert torch.equal(found, expected.permute(0, 3, 1, 2) if name in NHWC else expected)
    assert found.shape[:2] == (2, net.channels)


@pytest.mark.parametrize("name", WHOLE)
def test_gradients_reach_the_first_layer_of_a_network_in_one_piece(name):
    net = Backbone(name).eval()
    net(torch.rand(1, 3, 64, 64)).square().sum().backward()
    assert next(net.net.parameters()).grad.abs().sum() > 0


def test_attention_biases_are_those_of_the_weights_as_they_are_now():
    net, images = Backbone("levit_128s").eval(), torch.rand(1, 3, 224, 224)
    with torch.no_grad():
        before = net.net.forward_features(net.normalize(images))
        for name, parameter in net.net.named_parameters():
            if name.endswith("attention_biases"):
                parameter.normal_()
    with pytest.raises(InputError, match="'levit_128s' does not end in one feature map"):
        net(images)
    with torch.no_grad():
        assert not torch.equal(net.net.forward_features(net.normalize(images)), before)


def test_transformers_take_images_of_another_size_and_shape():
    with torch.no_grad():
        assert backbone("test_vit")(torch.rand(1, 3, 48, 96)).shape == (1, backbone("test_vit").channels, 3, 6)
        assert backbone("swin_s3_tiny_224")(torch.rand(1, 3, 96, 64)).shape[2:] == (3, 2)


def test_a_network_in_one_piece_cannot_be_freed_in_part():
    with pytest.raises(InputError, match=r"0\.5 of 'test_vit', which btlib does not cut; set 0 or 1, .* VGG"):
        backbone("test_vit").cut_for(0.5)


def test_a_size_that_a_network_does_not_take_is_refused():
    with pytest.raises(InputError, match=r"'beit_.*' takes no images of 64 × 64 pixels .*; set 224"):
        Backbone("beit_base_patch16_224")(torch.rand(1, 3, 64, 64))


def test_unknown_networks_are_refused():
    with pytest.raises(InputError, match="timm has no model 'efficientnet_lite0_tf'"):
        Backbone("efficientnet_lite0_tf")
