"""The joint loss: Dice and cross-entropy of the regions with deep supervision, and the grade's cross-entropy."""

from collections.abc import Sequence

import torch
from monai.losses import DiceLoss
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, interpolate, one_hot

from btlib.core.training.focal import smooth, soft_cross_entropy

_DICE = DiceLoss(sigmoid=True, reduction="none")


def dice_ce(logits: Tensor, target: Tensor) -> Tensor:
    """1 − soft Dice, plus binary cross-entropy, plus half of `composition`, per sample [B].

    Regions are nested, so each is a separate binary task; Dice and cross-entropy are averaged over them.

    Args:
        logits: [B, R, X, Y, Z].
        target: as `logits`, 0..1; its first region contains the others.
    """
    dice = _DICE(logits, target).flatten(1).mean(dim=1)
    entropy = binary_cross_entropy_with_logits(logits, target, reduction="none")
    return dice + entropy.flatten(1).mean(dim=1) + composition(entropy[:, 1:], target[:, :1]) / 2


def composition(entropy: Tensor, tumor: Tensor) -> Tensor:
    """Cross-entropy of the inner regions within the true tumour, per sample [B]: the tumour's composition.

    The mean over a whole brain is insensitive to a tumour of one voxel in a hundred, and Dice to false voxels of an
    absent region. Without this term networks predicted every core as enhancing, and could not grade.

    Args:
        entropy: [B, R, X, Y, Z] of each inner region.
        tumor: [B, 1, X, Y, Z], 0..1.
    """
    total = tumor.flatten(1).sum(dim=1).clamp_min(torch.finfo(tumor.dtype).tiny)
    return (entropy * tumor).flatten(1).sum(dim=1) / (entropy.shape[1] * total)


def segmentation_loss(logits: Tensor, deep: Sequence[Tensor], target: Tensor) -> Tensor:
    """`dice_ce` at every level of the decoder, each coarser one with half the weight (deep supervision), [B].

    Args:
        logits: [B, R, S, S, S].
        deep: coarser logits, fine to coarse; the target is averaged down to their grids.
        target: regions as 0 or 1, as `logits`.
    """
    levels = [logits.float(), *(level.float() for level in deep)]
    weights = [0.5**level for level in range(len(levels))]
    losses = [
        weight * dice_ce(level, target if level is levels[0] else interpolate(target, level.shape[2:], mode="area"))
        for weight, level in zip(weights, levels, strict=True)
    ]
    return sum(losses) / sum(weights)


def grade_loss(logits: Tensor, grade: Tensor, weights_K: Tensor, label_smoothing: float) -> Tensor:
    """Class-weighted cross-entropy with label smoothing, per sample [B]; 0 if the grade is unknown.

    Args:
        logits: [B, K].
        grade: [B] class index, −1 if unknown.
    """
    known = grade >= 0
    target = smooth(one_hot(grade.clamp_min(0), logits.shape[1]).float(), label_smoothing)
    return soft_cross_entropy(logits.float(), target, weights_K) * known
