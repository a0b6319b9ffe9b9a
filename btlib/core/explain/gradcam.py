"""Grad-CAM (Selvaraju et al. 2017) for each backbone and for all combined, without hooks, in 2D and 3D."""

from collections.abc import Sequence
from math import prod
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional

FUSED = "fused"
INTERPOLATION = {3: "bilinear", 4: "trilinear"}  # by the dimensions of maps [B, ...]


class Explainable(Protocol):
    """Interface that Grad-CAM needs, provided by the 2D classifier and the 3D network."""

    backbone_names: tuple[str, ...]

    def features(self, images: Tensor) -> tuple[Tensor, ...]:
        """Images [B, C, *size] to one feature map [B, D, *grid] per backbone, then what else the head needs."""

    def head(self, features: tuple[Tensor, ...]) -> Tensor:
        """Feature maps to logits [B, K]."""

    def to(self, device: torch.device) -> object:
        """As for any module."""


class RawMaps(NamedTuple):
    """Maps on the feature grids, before upsampling: one [B, *grid_i] per backbone and the fused one, all ≥ 0."""

    backbones: tuple[Tensor, ...]
    fused: Tensor


def raw_maps(net: Explainable, images: Tensor, targets: Tensor) -> RawMaps:
    """Grad-CAM maps on the grid of the features.

    A backbone's map is relu(Σ_c w_c A_c), w_c the spatial mean of ∂logit/∂A_c. The fused map is Grad-CAM over the
    concatenated channels of all backbones: their sums Σ_c w_c A_c are added before the relu, so that evidence of one
    backbone against the class offsets the other's evidence for it. If the grids differ, the sums are first resized
    linearly to the finest grid, and w_c is the spatial sum of the gradient, not its mean: resizing a feature map
    preserves that sum, so a backbone does not gain weight by having fewer positions.

    The backbones run without autograd, since only the head is differentiated, with respect to the feature maps. This
    also works if every parameter is frozen, and changes no parameter's gradient.

    Args:
        net: in eval mode, so that the images of a batch are independent.
        images: [B, 3, H, W] in 0 … 1, or volumes [B, 4, S, S, S], on the net's device.
        targets: [B] class indices to explain.
    """
    assert not getattr(net, "training", False), "Grad-CAM explains a net in eval mode"
    with torch.no_grad():
        plain = net.features(images)
    with torch.enable_grad():
        features = tuple(feature.detach().requires_grad_() for feature in plain[: len(net.backbone_names)])
        logits = net.head((*features, *plain[len(features) :])).gather(1, targets[:, None]).sum()
        gradients = torch.autograd.grad(logits, features)
    sums = [_weighted_sum(g, f.detach()) for g, f in zip(gradients, features, strict=True)]
    finest = max((s.shape[1:] for s in sums), key=prod)
    fused = torch.stack([resized(s, finest) for s in sums]).sum(dim=0)
    return RawMaps(tuple(s.relu() / s[0].numel() for s in sums), fused.relu() / prod(finest))


def _weighted_sum(gradient: Tensor, feature: Tensor) -> Tensor:
    """Σ_c w_c A_c, [B, D, *grid] to [B, *grid], with w_c the spatial sum of the gradient."""
    return (gradient.sum(dim=tuple(range(2, gradient.ndim)), keepdim=True) * feature).sum(dim=1)


def resized(maps: Tensor, size: Sequence[int]) -> Tensor:
    """[B, *grid] to [B, *size], bilinear or trilinear; unchanged if it already has that size."""
    if tuple(maps.shape[1:]) == tuple(size):
        return maps
    mode = INTERPOLATION[maps.ndim]
    return functional.interpolate(maps[:, None], size=tuple(size), mode=mode, align_corners=False)[:, 0]


def normalized(maps: Tensor) -> Tensor:
    """Each map of [B, *grid] ≥ 0 divided by its maximum, so 0 … 1; a map of zeros stays zeros."""
    peak = maps.amax(dim=tuple(range(1, maps.ndim)), keepdim=True)
    return torch.where(peak > 0, maps / peak, 0.0)


def map_names(net: Explainable) -> tuple[str, ...]:
    """The backbones' names, plus 'fused' if there are several."""
    return (*net.backbone_names, FUSED) if len(net.backbone_names) > 1 else net.backbone_names
