import numpy as np
import pytest
import torch
from monai.visualize import GradCAM
from torch import nn
from torch.nn import functional

from btlib.core.explain.gradcam import normalized, raw_maps, resized
from btlib.images.explain.gradcam import gradcam


def as_batch(images):
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255


class Whole(nn.Module):
    """One stream as a plain network, for MONAI's hooks, with constant pooled features of the other stream."""

    def __init__(self, net, stream):
        super().__init__()
        self.net, self.stream, self.layer = net, stream, nn.Identity()

    def forward(self, images):
        features = list(self.net.features(images))
        features[self.stream] = self.layer(features[self.stream])
        return self.net.head(tuple(features))


@pytest.mark.parametrize("stream", [0, 1])
@pytest.mark.parametrize("target", [None, 2])
def test_monai_agrees(make_net, images, stream, target):
    net, batch = make_net(), as_batch(images)
    monai = GradCAM(Whole(net, stream).eval(), target_layers="layer")
    theirs = torch.cat([monai.compute_map(batch[i : i + 1].requires_grad_(), class_idx=target) for i in range(5)])
    targets = net(batch).argmax(dim=1) if target is None else torch.full((5,), target)
    ours = raw_maps(net, batch, targets).backbones[stream]
    torch.testing.assert_close(ours, theirs[:, 0].detach(), rtol=1e-4, atol=1e-8)
    assert ours.max() > 0


@pytest.mark.filterwarnings("ignore:Full backward hook")
def test_monai_agrees_on_a_plain_cnn_up_to_the_image(images):
    torch.manual_seed(1)

    class Plain(nn.Module):
        backbone_names = ("only",)

        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(3, 8, 3, stride=4, padding=1), nn.ReLU())
            self.end = nn.Linear(8, 4)

        def features(self, x):
            return (self.body(x),)

        def head(self, features):
            return self.end(features[0].amax(dim=(2, 3)))

        def forward(self, x):
            return self.head(self.features(x))

    net = Plain().eval()
    batch = as_batch(images)
    targets = net(batch).argmax(dim=1)
    ours = gradcam(net, images, targets.numpy())
    monai = GradCAM(net, target_layers="body", postprocessing=normalized_like_ours)
    theirs = torch.cat([monai(batch[i : i + 1]) for i in range(5)])[:, 0]
    np.testing.assert_allclose(ours["only"], theirs.detach().numpy(), atol=1e-5)
    assert list(ours) == ["only"]  # one backbone: nothing to fuse


def normalized_like_ours(maps):
    return normalized(torch.as_tensor(maps)[:, 0])[:, None]


def test_fused_is_gradcam_over_the_concatenated_channels(make_net, images):
    net, batch = make_net(strides=(8, 8)), as_batch(images)
    joined = torch.cat(net.features(batch), dim=1).detach().requires_grad_()
    logits = net.head((joined[:, :6], joined[:, 6:]))
    gradient = torch.autograd.grad(logits[:, 1].sum(), joined)[0]
    expected = (gradient.mean(dim=(2, 3), keepdim=True) * joined).sum(dim=1).relu()
    torch.testing.assert_close(raw_maps(net, batch, torch.full((5,), 1)).fused, expected.detach())


def test_fused_map_does_not_favor_the_coarser_grid(make_net, images):
    """Nearest-neighbour enlargement of a feature map does not change the pooled head, nor may it the fused map."""
    net, batch = make_net(strides=(4, 4)), as_batch(images)
    coarse = net.features(batch)
    fine = tuple(f.repeat_interleave(4, 2).repeat_interleave(4, 3) for f in coarse)

    def fused(first, second):
        net.features = lambda _: (first, second)
        return raw_maps(net, batch, torch.full((5,), 3)).fused

    constant = torch.ones_like(fine[1]) * coarse[1].mean(dim=(2, 3), keepdim=True)
    constant_coarse = torch.ones_like(coarse[1]) * coarse[1].mean(dim=(2, 3), keepdim=True)
    torch.testing.assert_close(fused(fine[0], constant_coarse), fused(fine[0], constant), rtol=1e-4, atol=1e-8)


def test_maps_do_not_depend_on_the_batch_size(make_net, images):
    net, targets = make_net(), np.array([0, 1, 2, 3, 0])
    together, single = gradcam(net, images, targets), gradcam(net, images, targets, batch_size=1)
    for name in ("net_a", "net_b", "fused"):
        np.testing.assert_allclose(together[name], single[name], atol=1e-5)


def test_maps_of_a_non_square_image_have_its_size_and_range(make_net, images):
    maps = gradcam(make_net(), images, np.zeros(5, dtype=int))
    assert list(maps) == ["net_a", "net_b", "fused"]
    for heat in maps.values():
        assert heat.shape == (5, 32, 48) and heat.dtype == np.float32
        assert heat.min() >= 0 and set(heat.max(axis=(1, 2))) <= {0.0, 1.0}


def test_frozen_parameters_give_the_same_maps_without_side_effects(make_net, images):
    net, targets = make_net(), np.zeros(5, dtype=int)
    expected = gradcam(net, images, targets)
    net.requires_grad_(False)
    with torch.no_grad():
        found = gradcam(net, images, targets)
    for name, heat in expected.items():
        np.testing.assert_array_equal(found[name], heat)
    for module in net.modules():
        assert not module._forward_hooks and not module._backward_hooks and not module._forward_pre_hooks
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in net.parameters())


def test_a_head_that_ignores_the_features_gives_zeros_not_nan(make_net, images):
    net = make_net()
    nn.init.zeros_(net.linear.weight)
    for heat in gradcam(net, images, np.zeros(5, dtype=int)).values():
        assert (heat == 0).all()


def test_map_highlights_the_evidence():
    class Corner(nn.Module):
        backbone_names = ("pool",)

        def __init__(self):
            super().__init__()
            self.gain = nn.Parameter(torch.ones(()))

        def features(self, x):
            return (functional.avg_pool2d(x, 8) * self.gain,)

        def head(self, features):
            return features[0].mean(dim=(2, 3))

    images = np.zeros((1, 32, 48, 3), dtype=np.uint8)
    images[0, 16:24, 40:48, 1] = 255  # only the green channel, which is class 1
    heat = gradcam(Corner().eval(), images, np.array([1]))["pool"][0]
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert 16 <= row < 24 and 40 <= column < 48 and heat[:8].max() == 0
    assert gradcam(Corner().eval(), images, np.array([0]))["pool"].max() == 0


def test_no_images_give_empty_maps(make_net, images):
    maps = gradcam(make_net(), images[:0], np.zeros(0, dtype=int))
    assert {heat.shape for heat in maps.values()} == {(0, 32, 48)}


def test_training_mode_is_refused(make_net, images):
    with pytest.raises(AssertionError, match="eval mode"):
        gradcam(make_net().train(), images, np.zeros(5, dtype=int))


def test_resizing_is_bilinear_and_identity_at_the_same_size():
    maps = torch.tensor([[[0.0, 1.0]]])
    torch.testing.assert_close(resized(maps, (1, 4)), torch.tensor([[[0.0, 0.25, 0.75, 1.0]]]))
    assert resized(maps, (1, 2)) is maps
