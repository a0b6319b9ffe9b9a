"""Fusion of two feature maps into one vector: the paper's gated cross-attention and its ablations.

Equations 9–13 are missing from the paper's text; they are derived here from its section 4.4. With tokens
t_a, t_b (the projected spatial positions of each stream) and their means f_a, f_b (eq 6):

    c_a = softmax(Q_a K_bᵀ / √d) V_b,   c_b = softmax(Q_b K_aᵀ / √d) V_a       (9, 10; multi-head)
    g_a = σ(W_g^a [f_a; f_b]),          g_b = σ(W_g^b [f_a; f_b])              (11, 12)
    f   = [f_a + g_a ⊙ c_a ; f_b + g_b ⊙ c_b]                                  (13)

Queries are the pooled vectors (eq 7, 8). Keys and values are the other stream's tokens, not its pooled vector: over a
single key the softmax is 1 whatever the query says, so attention would be a linear map ('pooled_attention').
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn


class Fused(NamedTuple):
    """The fused vector [B, 2·width]; per stream the gates [B, width] and attention [B, heads, h·w], if any."""

    vector_BD: Tensor
    gates: tuple[Tensor, ...]
    attention: tuple[Tensor, ...]


class Projection(nn.Module):
    """A 1×1 projection of a feature map [B, C, h, w] to normalised tokens [B, h·w, width].

    The norm puts both streams on one scale: one backbone ends in an activation, the other in a residual sum.
    """

    def __init__(self, channels: int, width: int):
        super().__init__()
        self.linear = nn.Linear(channels, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, feature_BChw: Tensor) -> Tensor:
        return self.norm(self.linear(feature_BChw.flatten(2).transpose(1, 2)))


class PairFusion(nn.Module):
    """Fuses two feature maps into one vector; see the module's text for the equations.

    Args:
        channels: channels of both maps.
        width: channels after the projections, a multiple of `heads`.
        attends_to: the other stream's 'tokens', its 'pooled' vector, or None for no attention.
        gated: whether gates scale the attended vectors, or the pooled ones if there is no attention.
    """

    def __init__(self, channels: Sequence[int], width: int, heads: int, *, attends_to: str | None, gated: bool):
        super().__init__()
        if len(channels) != 2:
            raise ValueError(f"a fusion takes two feature maps, found {len(channels)}")
        self.attends_to, self.gated = attends_to, gated
        self.out_features = 2 * width
        self.project = nn.ModuleList(Projection(c, width) for c in channels)
        if self.attends_to:
            self.attend = nn.ModuleList(nn.MultiheadAttention(width, heads, batch_first=True) for _ in channels)
        if self.gated:
            self.gate = nn.ModuleList(nn.Linear(2 * width, width) for _ in channels)

    def forward(self, features: Sequence[Tensor]) -> Fused:
        tokens = [project(feature) for project, feature in zip(self.project, features, strict=True)]
        pooled = [t.mean(dim=1) for t in tokens]
        gates = self._gates(pooled)
        if self.attends_to is None:
            streams = [g * f for g, f in zip(gates, pooled, strict=True)] if gates else pooled
            return Fused(torch.cat(streams, dim=1), gates, ())
        keys = [f[:, None] for f in pooled] if self.attends_to == "pooled" else tokens
        streams, attention = [], []
        for i, attend in enumerate(self.attend):
            other = keys[1 - i]
            crossed, weights = attend(pooled[i][:, None], other, other, average_attn_weights=False)
            crossed = crossed[:, 0]
            streams.append(pooled[i] + (gates[i] * crossed if gates else crossed))
            attention.append(weights[:, :, 0])
        return Fused(torch.cat(streams, dim=1), gates, tuple(attention))

    def _gates(self, pooled: Sequence[Tensor]) -> tuple[Tensor, ...]:
        if not self.gated:
            return ()
        joint = torch.cat(list(pooled), dim=1)
        return tuple(torch.sigmoid(gate(joint)) for gate in self.gate)


class Pooling(nn.Module):
    """No fusion: global average pooling (eq 6) of each map, side by side."""

    def forward(self, features: Sequence[Tensor]) -> Fused:
        return Fused(torch.cat([feature.mean(dim=(2, 3)) for feature in features], dim=1), (), ())


NONE = "none"  # each backbone separately, with its own logits
FUSIONS: dict[str, Callable[[Sequence[int], int, int], nn.Module]] = {
    "concatenation": partial(PairFusion, attends_to=None, gated=False),
    "gated": partial(PairFusion, attends_to=None, gated=True),
    "cross_attention": partial(PairFusion, attends_to="tokens", gated=False),
    "gated_cross_attention": partial(PairFusion, attends_to="tokens", gated=True),
    "pooled_attention": partial(PairFusion, attends_to="pooled", gated=True),
}
"""Name -> module of (channels of both maps, width, heads), which gives `Fused` and says its `out_features`."""
