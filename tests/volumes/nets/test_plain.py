"""Plain 3D CNNs: the published layers, and the same interface as a joint network that only grades."""

import pytest
import torch
from monai.networks.nets import DenseNet121, resnet10, resnet18
from torch import nn

from btlib.volumes.nets.network import JointArchitecture, JointOutput, build_joint
from btlib.volumes.nets.plain import NETWORKS, PlainArchitecture, build_plain
from btlib.volumes.nets.windows import Window, see_whole

SMALL = PlainArchitecture("resnet10", 8)
RESNET = {"spatial_dims": 3, "n_input_channels": 4, "num_classes": 2, "bias_downsample": False, "shortcut_type": "B"}
PUBLISHED = {
    "resnet10": lambda: resnet10(**RESNET),
    "resnet18": lambda: resnet18(**RESNET),
    "densenet121": lambda: DenseNet121(3, 4, 2),
}


def volumes(batch=2, side=32):
    return torch.randn(batch, 4, side, side, side, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", NETWORKS)
def test_with_width_64_the_layers_are_the_published_ones(name):
    """Group normalisation has the parameters of batch normalisation."""
    ours, theirs = build_plain(PlainArchitecture(name, 64), 0).net, PUBLISHED[name]()
    shapes = [{key: tuple(p.shape) for key, p in net.named_parameters()} for net in (ours, theirs)]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("name", NETWORKS)
def test_nothing_depends_on_the_other_volumes_of_a_batch(name):
    net, x = build_plain(PlainArchitecture(name, 8), 0).train(), volumes()
    assert not [module for module in net.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    assert list(net.buffers()) == []
    torch.testing.assert_close(net(x).grade[:1], net(x[:1]).grade, atol=1e-5, rtol=1e-5)


def test_the_first_convolution_halves_the_volume():
    seen = []
    net = build_plain(SMALL, 0)
    net.net.layer1.register_forward_hook(lambda module, given, out: seen.append(tuple(out.shape)))
    net(volumes())
    assert seen == [(2, 8, 8, 8, 8)]  # 32, halved by the convolution and by the pooling


def test_output_has_the_form_of_a_joint_network_that_only_grades():
    alone = build_joint(JointArchitecture(8, False, False, "global", 0.0), 0)
    for net in (build_plain(SMALL, 0), alone):
        out = net(volumes(), net.dropout_masks(2, (0,)))
        assert isinstance(out, JointOutput) and out.grade.shape == (2, 2)
        assert (out.regions, out.attention, out.deep) == (None, (), ())
        assert (net.architecture.segmentation, net.architecture.grading) == (False, "global")


def test_whole_volumes_are_graded_with_their_mirror_image_and_in_windows():
    net, volume = build_plain(SMALL, 0), volumes(1)[0]
    both = (net(volume[None]).grade + net(volume[None].flip(2)).grade)[0] / 2
    torch.testing.assert_close(see_whole(net, volume, Window(32, 32)).grade, both.detach(), atol=1e-5, rtol=1e-5)
    larger = see_whole(net, volumes(1, 40)[0], Window(32, 32))
    assert larger.regions is None and larger.grade.shape == (2,) and larger.grade.isfinite().all()


def test_without_flip_tta_whole_volumes_are_graded_as_they_are():
    net, volume = build_plain(SMALL._replace(flip_tta=False), 0), volumes(1)[0]
    alone, mirrored = (net(view).grade[0].detach() for view in (volume[None], volume[None].flip(2)))
    torch.testing.assert_close(see_whole(net, volume, Window(32, 32)).grade, alone, atol=1e-5, rtol=1e-5)
    assert (alone - mirrored).abs().max() > 1e-3


def test_weights_depend_on_the_seed():
    a, b, c = (build_plain(SMALL, seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not torch.equal(a["net.conv1.weight"], c["net.conv1.weight"])
