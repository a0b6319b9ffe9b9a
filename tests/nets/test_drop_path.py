import pytest
import torch
from timm.layers import DropPath as TimmDropPath
from timm.models import create_model

from btlib.nets.backbones import Backbone
from btlib.nets.drop_path import DropPath


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "convnext_tiny", "resnet50"])
def test_every_residual_block_drops_at_a_rate_that_grows_with_depth(name):
    rates = [m.rate for m in Backbone(name, 0.2).modules() if isinstance(m, DropPath)]
    theirs = [m.drop_prob for m in create_model(name, drop_path_rate=0.2).modules() if isinstance(m, TimmDropPath)]
    assert rates[0] == 0 and rates == sorted(rates)
    assert rates[-1] == 0.2
    # timm leaves the block at rate 0 without a layer, and its EfficientNets end one step below the rate
    assert rates[-len(theirs) :] == pytest.approx(theirs, abs=0.21 / len(rates))


@pytest.mark.parametrize("name", ["densenet121", "attention_cnn"])
def test_a_network_without_residual_blocks_stays_as_it_is(name):
    assert not [m for m in Backbone(name, 0.2).modules() if isinstance(m, DropPath)]


def test_a_sample_that_drops_the_branch_is_the_shortcut_and_the_others_are_scaled():
    torch.manual_seed(0)
    block = Backbone("test_convnext", 0.5).net.stages[0].blocks[0].eval()
    x = torch.rand(3, block.conv_dw.in_channels, 4, 4)
    whole = block(x)
    block.drop_path.keep_B = torch.tensor([0.0, 1.0, 2.0])
    torch.testing.assert_close(block(x), torch.stack([x[0], whole[1], x[2] + 2 * (whole - x)[2]]))
