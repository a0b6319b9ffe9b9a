"""Focal loss on smoothed, mixed targets (paper, eq 14 and 15)."""

import torch
from torch import Tensor


def smooth(target_BK: Tensor, epsilon: float) -> Tensor:
    """y* = (1 − ε) y + ε / K (eq 15)."""
    return (1 - epsilon) * target_BK + epsilon / target_BK.shape[1]


def focal_loss(logits_BK: Tensor, target_BK: Tensor, gamma: float, alpha_K: Tensor) -> Tensor:
    """−α (1 − p_t)^γ log p_t with p_t = Σ_k y*_k p_k (eq 14), per sample [B].

    α is the target's mean of the class weights, so a mixed target gets a mixed weight. log p_t is taken in log space,
    so extreme logits keep finite gradients. With γ = 0, ε = 0 and hard targets this is weighted cross-entropy.

    Args:
        target_BK: smoothed targets y*, rows sum to 1.
        gamma: focusing parameter γ ≥ 0.
        alpha_K: class weights α.
    """
    log_p = torch.log_softmax(logits_BK.float(), dim=1)
    log_pt = torch.logsumexp(log_p + target_BK.log(), dim=1)
    # expm1 keeps 1 − p_t precise when p_t is near 1; the floor keeps the power's gradient finite at 0.
    miss = (-torch.expm1(log_pt)).clamp_min(torch.finfo(log_pt.dtype).tiny)
    return -(target_BK @ alpha_K) * miss.pow(gamma) * log_pt


def soft_cross_entropy(logits_BK: Tensor, target_BK: Tensor, alpha_K: Tensor) -> Tensor:
    """−α Σ_k y*_k log p_k, per sample [B]."""
    log_p = torch.log_softmax(logits_BK.float(), dim=1)
    return -(target_BK @ alpha_K) * (target_BK * log_p).sum(dim=1)


def class_weights(alpha: str | float, counts_K: Tensor) -> Tensor:
    """α per class: a number for all, or 'inverse_frequency': N / (K n_k), whose mean over the training set is 1."""
    if alpha == "inverse_frequency":
        return counts_K.sum() / (len(counts_K) * counts_K.float())
    return torch.full((len(counts_K),), float(alpha))
