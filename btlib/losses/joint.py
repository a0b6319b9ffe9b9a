"""The joint loss: Dice and cross-entropy of the regions with deep supervision, and the grade's cross-entropy."""

from collections.abc import Sequence

from monai.losses import DiceLoss
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, interpolate, one_hot

from btlib.losses.focal import smooth, soft_cross_entropy

_DICE = DiceLoss(sigmoid=True, reduction="none")


def dice_ce(logits: Tensor, target: Tensor) -> Tensor:
    """1 − soft Dice plus binary cross-entropy, each averaged over regions, per sample [B].

    Regions overlap (they are nested), so each is a binary task of its own.

    Args:
        logits: [B, R, X, Y, Z].
        target: as `logits`, 0..1.
    """
    dice = _DICE(logits, target).flatten(1).mean(dim=1)
    return dice + binary_cross_entropy_with_logits(logits, target, reduction="none").flatten(1).mean(dim=1)


def segmentation_loss(logits: Tensor, deep: Sequence[Tensor], target: Tensor) -> Tensor:
    """`dice_ce` at every level of the decoder, each coarser one counting half as much (deep supervision), [B].

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
    """Class-weighted cross-entropy with label smoothing, per sample [B]; 0 where the grade is unknown.

    Args:
        logits: [B, K].
        grade: [B] class number, −1 for unknown.
    """
    known = grade >= 0
    target = smooth(one_hot(grade.clamp_min(0), logits.shape[1]).float(), label_smoothing)
    return soft_cross_entropy(logits.float(), target, weights_K) * known
