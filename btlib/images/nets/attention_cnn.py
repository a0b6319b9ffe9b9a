"""A small CNN with attention, trained from scratch: the only baseline of the paper's Table 6 without ImageNet weights.

The layers are btlib's choice. The attention is that of Woo et al. 2018 ("CBAM: Convolutional Block Attention Module",
ECCV): each block weighs its channels, then its positions.
"""

from itertools import pairwise

from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.layers import ConvNormAct
from timm.layers.cbam import CbamModule
from torch import Tensor, nn

NAME = "attention_cnn"
WIDTHS = (32, 64, 128, 256)


class AttentionCnn(nn.Module):
    """Normalised images [B, 3, H, W], at least 32 pixels a side, to a feature map [B, 256, ~H/32, ~W/32].

    It is not pretrained: with a frozen random trunk, only the classifier's head would learn. `num_features` and
    `pretrained_cfg` are timm's names for width and preprocessing.
    """

    def __init__(self):
        super().__init__()
        self.stem = _convolution(3, WIDTHS[0], stride=2)
        self.blocks = nn.Sequential(*(_block(narrow, wide) for narrow, wide in pairwise((WIDTHS[0], *WIDTHS))))
        self.num_features = WIDTHS[-1]
        # timm's networks also name their classifier here; this one has none of that name.
        self.pretrained_cfg = {"mean": IMAGENET_DEFAULT_MEAN, "std": IMAGENET_DEFAULT_STD, "classifier": "head"}

    def forward(self, images: Tensor) -> Tensor:
        return self.blocks(self.stem(images))


def _block(in_channels: int, out_channels: int) -> nn.Sequential:
    """Two convolutions, attention over channels and positions, then half the side; no shortcut."""
    return nn.Sequential(
        _convolution(in_channels, out_channels),
        _convolution(out_channels, out_channels),
        CbamModule(out_channels),
        nn.MaxPool2d(2),
    )


def _convolution(in_channels: int, out_channels: int, stride: int = 1) -> ConvNormAct:
    """3×3 convolution, BatchNorm, ReLU; weights after He et al. 2015."""
    layer = ConvNormAct(in_channels, out_channels, 3, stride=stride)
    nn.init.kaiming_normal_(layer.conv.weight, mode="fan_out", nonlinearity="relu")
    return layer
