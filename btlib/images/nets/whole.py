"""Networks of timm that btlib does not cut: in one piece, frozen or wholly trained."""

from typing import Any

import timm
import torch
from torch import Tensor, nn

from btlib.core.runtime.errors import InputError

ANY_SIZE = ({"dynamic_img_size": True}, {"strict_img_size": False})  # what timm calls it: in ViT, in Swin
REFUSALS = (AssertionError, RuntimeError, ValueError)  # raised by timm and PyTorch at images of a wrong size


def create(name: str) -> nn.Module:
    """The network with random weights and no classifier, for images of any size where timm can do that."""
    plain = {"pretrained": False, "num_classes": 0}
    for options in ANY_SIZE if timm.get_pretrained_cfg(name).fixed_input_size else ():
        try:
            return timm.create_model(name, **plain, **options)
        except TypeError:  # the network's class knows no such argument
            continue
    return timm.create_model(name, **plain)


class WholeNetwork(nn.Module):
    """Normalised images [B, 3, H, W] to the last feature map [B, C, h, w] of a timm network, through timm's interface.

    Of a transformer, the tokens of the image's patches are laid out as a map; class and register tokens are left out.
    """

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        _forget_biases(self.net)
        try:
            maps = self._maps(images)
        except torch.OutOfMemoryError:
            raise
        except REFUSALS as error:
            height, width = images.shape[2:]
            side = self.net.pretrained_cfg["input_size"][-1]
            if height == width == side:
                raise  # not for the size
            raise InputError(
                f"image_size: {self._name()} takes no images of {height} × {width} pixels ({error}); set {side}, for "
                "which it was made"
            ) from error
        if not isinstance(maps, Tensor) or maps.ndim != 4:
            raise InputError(f"backbones: {self._name()} does not end in one feature map; take another network")
        return maps

    def _maps(self, images: Tensor) -> Any:
        if hasattr(self.net, "num_prefix_tokens"):
            options = {"indices": 1, "norm": True, "output_fmt": "NCHW", "intermediates_only": True}
            return self.net.forward_intermediates(images, **options)[0]
        maps = self.net.forward_features(images)
        return maps.permute(0, 3, 1, 2) if getattr(self.net, "output_fmt", "") == "NHWC" else maps

    def _name(self) -> str:
        return f"'{self.net.pretrained_cfg['architecture']}'"


def _forget_biases(net: nn.Module) -> None:
    """EfficientFormer and others keep the biases they looked up in eval mode, in which btlib trains: they go stale."""
    for layer in net.modules():
        if hasattr(layer, "attention_bias_cache"):
            layer.attention_bias_cache = {}
