import pytest
import torch
from torch import nn
from torch.nn import functional

from btlib.images.nets.attention_cnn import AttentionCnn


@pytest.fixture
def net():
    torch.manual_seed(0)
    return AttentionCnn()


def test_a_block_is_two_convolutions_attention_and_pooling(net):
    """Woo et al. 2018, equations 1–3, written out with the block's own weights."""
    first, second, cbam, _ = net.blocks[1].eval()
    x = torch.rand(2, 32, 16, 12)

    def mlp(pooled):
        return torch.relu(pooled @ cbam.channel.fc1.weight[..., 0, 0].T) @ cbam.channel.fc2.weight[..., 0, 0].T

    with torch.no_grad():
        f = second(first(x))
        f = f * torch.sigmoid(mlp(f.mean((2, 3))) + mlp(f.amax((2, 3))))[:, :, None, None]
        pooled = torch.stack([f.mean(1), f.amax(1)], dim=1)
        spatial = cbam.spatial.conv.bn(functional.conv2d(pooled, cbam.spatial.conv.conv.weight, padding=3))
        expected = (f * torch.sigmoid(spatial)).view(2, 64, 8, 2, 6, 2).amax((3, 5))
        torch.testing.assert_close(net.blocks[1](x), expected)


def test_the_weights_are_hes(net):
    for module in net.modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3):
            assert module.weight.std().item() == pytest.approx((2 / (9 * module.out_channels)) ** 0.5, rel=0.06)


@pytest.mark.parametrize(("side", "grid"), [(32, 1), (64, 2), (96, 3)])
def test_the_feature_map_has_a_32nd_of_the_side(net, side, grid):
    with torch.no_grad():
        assert net.eval()(torch.rand(1, 3, side, side)).shape == (1, 256, grid, grid)


def test_every_parameter_trains_and_every_batchnorm_keeps_statistics(net):
    before = {name: buffer.clone() for name, buffer in net.named_buffers()}
    net.train()(torch.randn(8, 3, 64, 64)).square().mean().backward()
    assert [name for name, p in net.named_parameters() if not p.grad.abs().sum() > 0] == []
    assert [name for name, buffer in net.named_buffers() if torch.equal(buffer, before[name])] == []
