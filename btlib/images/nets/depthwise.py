"""Wide depthwise convolutions with a fast weight gradient on CPUs."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import conv2d, pad

Pair = tuple[int, int]

FAST_WIDTH = 3  # columns of a kernel up to which oneDNN has a fast gradient of depthwise weights


class WideDepthwise(nn.Conv2d):
    """A depthwise convolution with its own weight gradient for training on a CPU.

    oneDNN computes the weight gradient of kernels wider than three columns by a slow general method: for a 5×5 kernel
    on 6×6 maps it takes eight times as long as the forward pass. A kernel's columns do not depend on each other, so
    here they are computed three at a time (`benchmarks/depthwise.py`). Everything else is PyTorch's own.
    """

    def forward(self, images: Tensor) -> Tensor:
        slow_otherwise = images.device.type == "cpu" and not torch.is_autocast_enabled("cpu")
        if slow_otherwise and torch.is_grad_enabled() and self.weight.requires_grad:
            return _Depthwise.apply(images, self.weight, self.bias, self.padding)
        return super().forward(images)


def quicken(net: nn.Module) -> None:
    """Replaces the wide depthwise layers of a network by `WideDepthwise`, in place; weights and names are kept."""
    for layer in net.modules():
        if type(layer) is nn.Conv2d and _is_wide_depthwise(layer):
            layer.__class__ = WideDepthwise


def _is_wide_depthwise(layer: nn.Conv2d) -> bool:
    """Strided layers are excluded: on large maps they would be slower."""
    wide = layer.kernel_size[1] > FAST_WIDTH and layer.groups == layer.in_channels == layer.out_channels
    plain = layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
    return wide and plain and layer.stride == layer.dilation == (1, 1)


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, bias: Tensor | None, padding: Pair) -> Tensor:
        ctx.save_for_backward(images, weight)
        ctx.padding = padding
        return conv2d(images, weight, bias, padding=padding, groups=len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple:
        images, weight = ctx.saved_tensors
        of_images = of_weight = of_bias = None
        if ctx.needs_input_grad[0]:
            of_images = _backward(gradient, images, weight, ctx.padding, (True, False, False))[0]
        if ctx.needs_input_grad[1]:
            of_weight = weight_gradient(gradient, images, weight, ctx.padding)
        if ctx.needs_input_grad[2]:
            of_bias = gradient.sum(dim=(0, 2, 3))
        return of_images, of_weight, of_bias, None


def weight_gradient(gradient: Tensor, images: Tensor, weight: Tensor, padding: Pair) -> Tensor:
    """Gradient of a depthwise convolution's weights [C, 1, h, w], three columns at a time.

    Args:
        gradient: of the convolution's output [B, C, ...].
        images: its input [B, C, H, W].
    """
    (down, across), first, parts = padding, 0, []
    for columns in weight.split(FAST_WIDTH, dim=3):
        width = (
            columns.shape[3] - 1 + gradient.shape[3]
        )  # of the padded images that these columns cover, from `first` on
        inside = images[..., max(0, first - across) : max(0, first - across + width)]
        left = max(0, across - first)
        seen = pad(inside, (left, width - left - inside.shape[3], down, down))
        seen = seen.contiguous(memory_format=torch.channels_last)
        parts.append(_backward(gradient, seen, columns.contiguous(), (0, 0), (False, True, False))[1])
        first += columns.shape[3]
    return torch.cat(parts, dim=3)


def _backward(gradient: Tensor, images: Tensor, weight: Tensor, padding: Pair, wanted: tuple) -> tuple:
    """PyTorch's gradients of images, weight and bias, as far as they are wanted."""
    plain = (None, (1, 1), padding, (1, 1), False, (0, 0), len(weight))  # no bias, stride, dilation; not transposed
    return torch.ops.aten.convolution_backward(gradient, images, weight, *plain, wanted)
