import pytest
import torch

from btlib.images.nets.fusion import FUSIONS, Pooling

WIDTH, HEADS = 8, 2


@pytest.fixture
def features():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(3, 5, 4, 2, generator=generator), torch.randn(3, 7, 2, 3, generator=generator)


def make(kind, seed=0):
    torch.manual_seed(seed)
    return FUSIONS[kind]((5, 7), WIDTH, HEADS)


@pytest.mark.parametrize("kind", FUSIONS)
def test_shapes_and_finite_gradients(kind, features):
    fusion = make(kind)
    fused = fusion(features)
    assert fused.vector_BD.shape == (3, fusion.out_features)
    fused.vector_BD.square().sum().backward()
    assert all(p.grad.isfinite().all() for p in fusion.parameters() if p.grad is not None)
    assert len(fused.gates) in (0, 2)
    assert all(((g > 0) & (g < 1)).all() for g in fused.gates)


def test_gated_cross_attention_follows_the_equations(features):
    """Equations 6–13 written out with plain matrices, head by head."""
    fusion = make("gated_cross_attention").double()
    features = [f.double() for f in features]
    tokens = [p.norm(f.flatten(2).transpose(1, 2) @ p.linear.weight.T + p.linear.bias)
              for p, f in zip(fusion.project, features, strict=True)]  # fmt: skip
    pooled = [t.mean(1) for t in tokens]
    joint = torch.cat(pooled, 1)
    streams = []
    for i in (0, 1):
        module = fusion.attend[i]
        wq, wk, wv = module.in_proj_weight.chunk(3)
        bq, bk, bv = module.in_proj_bias.chunk(3)
        q, k, v = pooled[i] @ wq.T + bq, tokens[1 - i] @ wk.T + bk, tokens[1 - i] @ wv.T + bv
        heads = []
        for h in range(HEADS):
            part = slice(h * WIDTH // HEADS, (h + 1) * WIDTH // HEADS)
            scores = torch.einsum("bd,btd->bt", q[:, part], k[:, :, part]) / (WIDTH / HEADS) ** 0.5
            heads.append(torch.einsum("bt,btd->bd", scores.softmax(1), v[:, :, part]))
        crossed = torch.cat(heads, 1) @ module.out_proj.weight.T + module.out_proj.bias
        gate = torch.sigmoid(joint @ fusion.gate[i].weight.T + fusion.gate[i].bias)
        streams.append(pooled[i] + gate * crossed)
    torch.testing.assert_close(fusion(features).vector_BD, torch.cat(streams, 1))


def test_attention_is_a_distribution_over_the_other_streams_positions(features):
    first, second = make("cross_attention")(features).attention
    assert first.shape == (3, HEADS, 2 * 3)
    assert second.shape == (3, HEADS, 4 * 2)
    torch.testing.assert_close(first.sum(2), torch.ones(3, HEADS))


def test_attention_over_one_pooled_key_is_one_whatever_the_query_says(features):
    """Why tokens: the paper's literal form has a single key, so its softmax is identically 1."""
    fusion = make("pooled_attention")
    fused = fusion(features)
    assert all((a == 1).all() for a in fused.attention)
    with torch.no_grad():
        for attend in fusion.attend:
            attend.in_proj_weight[:WIDTH] = torch.randn(WIDTH, WIDTH)
    torch.testing.assert_close(fusion(features).vector_BD, fused.vector_BD)


def test_shut_gates_leave_the_pooled_features(features):
    fusion = make("gated_cross_attention")
    with torch.no_grad():
        for gate in fusion.gate:
            gate.weight.zero_()
            gate.bias.fill_(-1e4)
    plain = make("concatenation")
    plain.load_state_dict({k: v for k, v in fusion.state_dict().items() if k.startswith("project")})
    torch.testing.assert_close(fusion(features).vector_BD, plain(features).vector_BD)


def test_gradients_reach_both_streams_through_the_attention(features):
    a, b = (f.clone().requires_grad_() for f in features)
    make("gated_cross_attention")((a, b)).vector_BD[:, :WIDTH].sum().backward()
    assert b.grad.abs().sum() > 0


def test_pooling_is_the_mean_over_positions_side_by_side(features):
    means = [feature.mean((2, 3)) for feature in features]
    torch.testing.assert_close(Pooling()(features[:1]).vector_BD, means[0])
    torch.testing.assert_close(Pooling()(features).vector_BD, torch.cat(means, dim=1))
