"""ImageNet backbones from timm as a row of units, so that they can be cut into a frozen trunk and a tail."""

import timm
import torch
from timm.models.convnext import ConvNeXt
from timm.models.efficientnet import EfficientNet
from torch import Tensor, nn

from btlib.errors import InputError


class Backbone(nn.Module):
    """A timm network without its classifier: normalisation, stem, blocks, top.

    Images come as [B, 3, H, W] in 0..1; eq 2 of the paper is applied here with the mean and standard deviation that
    the backbone was pretrained with. The last feature map is [B, channels, h, w] (eq 4, 5).

    Raises:
        InputError: timm has no such network, or it is of a family that btlib cannot cut.
    """

    def __init__(self, name: str):
        super().__init__()
        if not timm.is_model(name):
            near = timm.list_models(f"*{name.split('_')[-1]}*")[:3]
            raise InputError(
                f"backbones: timm has no model '{name}'" + (f"; near it: {', '.join(near)}" if near else "")
            )
        self.name = name
        self.net = timm.create_model(name, pretrained=False, num_classes=0, global_pool="")
        self.channels: int = self.net.num_features
        config = self.net.pretrained_cfg
        self.register_buffer("mean", torch.tensor(config["mean"]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(config["std"]).view(1, 3, 1, 1), persistent=False)

    @property
    def units(self) -> list[nn.Module]:
        """Stem, blocks and top in the order in which they run."""
        if isinstance(self.net, EfficientNet):
            return [
                nn.Sequential(self.net.conv_stem, self.net.bn1),
                *(block for stage in self.net.blocks for block in stage),
                nn.Sequential(self.net.conv_head, self.net.bn2),
            ]
        if isinstance(self.net, ConvNeXt):
            blocks = []
            for stage in self.net.stages:
                first, *rest = stage.blocks
                blocks += [nn.Sequential(stage.downsample, first), *rest]
            return [self.net.stem, *blocks, self.net.norm_pre]
        raise InputError(
            f"backbones: '{self.name}' is a {type(self.net).__name__}; btlib can cut EfficientNet and ConvNeXt networks"
        )

    def cut_for(self, fraction: float) -> int:
        """How many leading units stay frozen when the last `fraction` of the blocks trains.

        0 freezes everything, 1 frees everything, stem included; in between at least one block and the top are free.
        """
        n_units = len(self.units)
        if fraction == 0:
            return n_units
        if fraction == 1:
            return 0
        n_blocks = n_units - 2
        return 1 + n_blocks - max(1, round(fraction * n_blocks))

    def trunk(self, images: Tensor, cut: int) -> Tensor:
        """Normalises images [B, 3, H, W] and runs the first `cut` units."""
        x = (images - self.mean) / self.std
        for unit in self.units[:cut]:
            x = unit(x)
        return x

    def tail(self, x: Tensor, cut: int) -> Tensor:
        """Runs the units from `cut` on."""
        for unit in self.units[cut:]:
            x = unit(x)
        return x

    def forward(self, images: Tensor) -> Tensor:
        return self.tail(self.trunk(images, 0), 0)
