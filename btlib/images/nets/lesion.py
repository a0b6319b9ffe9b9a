"""Where the lesion is: a probability map from a feature pyramid, and what the classifier reads from it.

Top-down pathway and lateral connections as in Lin et al. 2017 ("Feature Pyramid Networks for Object Detection"). The
features under the map are pooled as the 3D network pools them for its grade. Whether there is a tumour follows from the
map alone, by construction: the classifier cannot call a tumour that it does not see.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import (
    adaptive_avg_pool2d,
    binary_cross_entropy_with_logits,
    interpolate,
    log_softmax,
    logsigmoid,
    softplus,
)

WIDTH = 48  # channels of the pyramid
GROUPS = 8  # of its normalisation, which is per image: no statistics of the batch
STRONGEST = 8  # pixels of the map whose mean is the evidence for a lesion
QUICKER = 10.0  # factor of the learning rate of slope and offset
RARE = -4.0  # first logit of the map: lesions fill a small part of an image


class LesionHead(nn.Module):
    """Feature pyramids of one or two backbones to a lesion map on their finest grid.

    Args:
        channels: per backbone the channels of its levels, finest first.
    """

    def __init__(self, channels: Sequence[Sequence[int]]):
        super().__init__()
        self.lateral = nn.ModuleList(nn.ModuleList(nn.Conv2d(c, WIDTH, 1) for c in levels) for levels in channels)
        depth = max(map(len, channels))
        self.smooth = nn.ModuleList(_smooth() for _ in range(depth))
        self.logit = nn.Conv2d(WIDTH, 1, 1)
        nn.init.constant_(self.logit.bias, RARE)

    def forward(self, pyramids: Sequence[Sequence[Tensor]]) -> tuple[Tensor, Tensor]:
        """The lesion logits [B, h, w], and the features [B, WIDTH, h, w] that they come from.

        Args:
            pyramids: per backbone its levels [B, C, h, w], finest first.
        """
        x: Tensor | None = None
        for step, smooth in enumerate(self.smooth, start=1):  # from the coarsest level on
            sides = [
                lateral[-step](levels[-step])
                for lateral, levels in zip(self.lateral, pyramids, strict=True)
                if step <= len(levels)
            ]
            size = max((side.shape[2:] for side in sides), key=lambda shape: shape[0])
            parts = [*sides, *([] if x is None else [x])]
            x = smooth(torch.stack([_at(part, size) for part in parts]).sum(dim=0))
        return self.logit(x)[:, 0], x


class TiedAnswer(nn.Module):
    """Class logits in which "no tumour" is one minus the evidence for a lesion.

    p(tumour) = σ(a·e + b) with a > 0 and e the mean of the map's strongest logits; the other classes share it. Both
    are learnt QUICKER than the weights, since they have to follow the map while it grows.

    Args:
        none: number of the class without a tumour.
    """

    def __init__(self, none: int):
        super().__init__()
        self.none = none
        self.slope = nn.Parameter(torch.tensor(0.5413 / QUICKER))  # softplus: 1
        self.offset = nn.Parameter(torch.tensor(-RARE / QUICKER))  # an untrained map leaves the question open

    def forward(self, logits: Tensor, lesion: Tensor) -> Tensor:
        """Log-probabilities [..., B, K] from the logits of the classes and of the map [B, h, w]."""
        tumor = softplus(QUICKER * self.slope) * evidence(lesion) + QUICKER * self.offset
        others = [k for k in range(logits.shape[-1]) if k != self.none]
        kinds = log_softmax(logits[..., others], dim=-1) + logsigmoid(tumor)[:, None]
        answer = torch.empty_like(logits)
        answer[..., others] = kinds
        answer[..., self.none] = logsigmoid(-tumor).expand(logits.shape[:-1])
        return answer


def evidence(lesion: Tensor) -> Tensor:
    """[B] mean of the strongest logits of maps [B, h, w]."""
    return lesion.flatten(1).topk(min(STRONGEST, lesion[0].numel()), dim=1).values.mean(dim=1)


def lesion_loss(logits: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """[B] 5 · cross-entropy + 1 − Dice of maps [B, h, w]; 0 where no outline is known.

    Args:
        target: [B, H, W] lesion shares in 0..1.
        known: [B] bool.
    """
    target = adaptive_avg_pool2d(target[:, None], logits.shape[1:])[:, 0]
    entropy = binary_cross_entropy_with_logits(logits, target, reduction="none").mean(dim=(1, 2))
    p = logits.sigmoid()
    dice = (2 * (p * target).sum(dim=(1, 2)) + 1) / ((p + target).sum(dim=(1, 2)) + 1)
    return torch.where(known, 5 * entropy + 1 - dice, 0.0)


class Shown(NamedTuple):
    """Lesions of training images: shares of cells [B, h, w], and whether they are known [B]."""

    share: Tensor
    known: Tensor

    def taught(self, lesion: Tensor) -> Tensor:
        """Logits [B, h, w] of a map that receives gradients where the lesion is known."""
        return torch.where(self.known[:, None, None], lesion, lesion.detach())

    def instead_of(self, lesion: Tensor) -> Tensor:
        """Probabilities [B, h, w]: the true lesion where one is known, else those of a map's logits.

        What the classes look like can then be learnt before the map is any good.
        """
        share = adaptive_avg_pool2d(self.share[:, None], lesion.shape[1:])[:, 0]
        outlined = self.known & (share > 0).any(dim=(1, 2))
        return torch.where(outlined[:, None, None], share, lesion.sigmoid())


def pooled_under(feature: Tensor, probability: Tensor) -> Tensor:
    """[B, C] mean of a feature map [B, C, h, w], weighted with lesion probabilities [B, H, W]."""
    weight = adaptive_avg_pool2d(probability[:, None], feature.shape[2:])
    return (feature * weight).sum(dim=(2, 3)) / weight.sum(dim=(2, 3)).clamp_min(1e-6)


def _smooth() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(WIDTH, WIDTH, 3, padding=1, bias=False), nn.GroupNorm(GROUPS, WIDTH), nn.SiLU(inplace=True)
    )


def _at(maps: Tensor, size: torch.Size) -> Tensor:
    return maps if maps.shape[2:] == size else interpolate(maps, size=size, mode="bilinear", align_corners=False)
