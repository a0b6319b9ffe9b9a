"""The joint network against MONAI's attention block and manual pooling, and the parts of each architecture."""

import json

import pytest
import torch
from monai.networks.nets.attentionunet import AttentionBlock

from btlib.core.runtime.errors import InputError
from btlib.volumes.nets.network import AttentionGate, JointArchitecture, JointNet, JointOutput, build_joint
from btlib.volumes.nets.store import load_joint, save_joint
from btlib.volumes.nets.windows import Window, see_samples, see_whole, shrunk

FULL = JointArchitecture(width=8, attention=True, segmentation=True, grading="regions", dropout=0.3)


def volumes(batch=2, side=16):
    return torch.randn(batch, 4, side, side, side, generator=torch.Generator().manual_seed(0))


def test_shapes_of_every_output():
    out = build_joint(FULL, 0)(volumes())
    assert out.regions.shape == (2, 3, 16, 16, 16)
    assert out.grade.shape == (2, 2)
    assert [tuple(a.shape) for a in out.attention] == [(2, 1, 4, 4, 4), (2, 1, 8, 8, 8)]
    assert all(((a > 0) & (a < 1)).all() for a in out.attention)
    assert [tuple(d.shape) for d in out.deep] == [(2, 3, 8, 8, 8), (2, 3, 4, 4, 4), (2, 3, 2, 2, 2)]


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({"grading": "none"}, "grade."),
        ({"attention": False}, "gate"),
        ({"segmentation": False, "attention": False, "grading": "global"}, "up."),
    ],
)
def test_parts_that_are_off_have_no_weights(changes, missing):
    net = build_joint(FULL._replace(**changes), 0)
    assert not [name for name in net.state_dict() if missing in name]
    assert [name for name in build_joint(FULL, 0).state_dict() if missing in name]
    out = net(volumes())
    assert (out.grade is None) == (changes.get("grading") == "none")
    assert (out.regions is None) == (not changes.get("segmentation", True))
    assert out.attention == () or changes.get("attention", True)


def test_gate_equals_monais_attention_block_with_other_normalization():
    gate, block = AttentionGate(6, 8), AttentionBlock(3, f_int=4, f_g=6, f_l=8)
    pairs = [
        (gate.of_gate.conv, block.W_g[0].conv),
        (gate.of_skip.conv, block.W_x[0].conv),
        (gate.psi, block.psi[0].conv),
    ]
    for ours, theirs in pairs:
        theirs.load_state_dict(ours.state_dict())
    for norms in (block.W_g, block.W_x):
        norms[1] = torch.nn.GroupNorm(4, 4)
    block.psi[1] = torch.nn.Identity()
    g, x = torch.randn(2, 6, 5, 5, 5), torch.randn(2, 8, 5, 5, 5)
    torch.testing.assert_close(x * gate(g, x), block(g, x))


def test_grade_depends_on_the_decoder_only_in_predicted_regions():
    net = build_joint(FULL, 0)
    bottleneck, decoder = (f.detach() for f in net.features(volumes(1)))
    torch.nn.init.constant_(net.deep[0].bias, -400.0)  # no region anywhere: no features, and log 1 voxel
    plain = net.head((bottleneck, decoder))
    torch.testing.assert_close(plain, net.head((bottleneck, torch.zeros_like(decoder))), atol=1e-5, rtol=0)
    torch.nn.init.constant_(net.deep[0].bias, 400.0)  # all of the volume
    vector = torch.cat(
        [bottleneck.mean((2, 3, 4)), *[decoder.sum((2, 3, 4)) / (8**3 + 1)] * 3, torch.full((1, 3), 8**3 + 1).log()],
        dim=1,
    )
    torch.testing.assert_close(net.head((bottleneck, decoder)), net.grade(vector), atol=1e-4, rtol=1e-4)


def test_the_grades_gradient_reaches_the_segmentation():
    net = build_joint(FULL, 0)
    net(volumes()).grade.sum().backward()
    assert net.deep[0].weight.grad.abs().sum() > 0
    assert net.up[0].gate.psi.weight.grad.abs().sum() > 0


def test_dropout_is_passed_in_and_keyed():
    net, x = build_joint(FULL, 0), volumes()
    masks = net.dropout_masks(2, (0, "a"))
    assert [tuple(m.shape) for m in masks] == [(2, 32, 1, 1, 1), (2, 16, 1, 1, 1)]
    assert {round(v, 4) for m in masks for v in m.unique().tolist()} <= {0.0, round(1 / 0.7, 4)}
    assert all(torch.equal(a, b) for a, b in zip(masks, net.dropout_masks(2, (0, "a")), strict=True))
    assert torch.equal(net(x).regions, net(x).regions)
    assert not torch.equal(net(x, masks).grade, net(x).grade)
    assert build_joint(FULL._replace(dropout=0.0), 0).dropout_masks(2, (0,)) is None


def test_features_and_head_equal_the_forward_pass():
    for grading in ("regions", "global"):
        net = build_joint(FULL._replace(grading=grading), 0)
        torch.testing.assert_close(net.head(net.features(volumes())), net(volumes()).grade)
        assert len(net.features(volumes())) == len(net.backbone_names)


def test_weights_depend_on_the_seed():
    a, b, c = (build_joint(FULL, seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not torch.equal(a["stem.conv1.conv.weight"], c["stem.conv1.conv.weight"])


def both_ways(net, volume, dropout_masks=None):
    """Mean output for a volume [4, S, S, S] and its mirror image, mirrored back."""
    plain, mirrored = (net(x[None], dropout_masks) for x in (volume, volume.flip(1)))
    regions = (plain.regions + mirrored.regions.flip(2)) / 2
    return plain._replace(regions=regions[0], grade=((plain.grade + mirrored.grade) / 2)[0])


class Ramp:
    """A toy network: a voxel's logits are its intensities times its x, and the grade's are sums of these."""

    def __init__(self, flip_tta):
        self.architecture = FULL._replace(flip_tta=flip_tta)

    def encode(self, volumes):
        return volumes

    def outputs(self, volumes, encoded, dropout_masks):
        logits = encoded[:, :3] * torch.arange(encoded.shape[2])[:, None, None]
        return JointOutput(logits, logits[:, :2].sum(dim=(2, 3, 4)), (), ())


@pytest.mark.parametrize(("flip_tta", "logit"), [(False, 2.0), (True, (2.0 + 5.0) / 2)])
def test_flips_average_the_two_views_of_an_asymmetric_network(flip_tta, logit):
    """A voxel at x = 2 of 8 is at x = 5 in the mirror image."""
    volume = torch.zeros(4, 8, 8, 8)
    volume[:2, 2, 3, 4] = torch.tensor([1.0, 10.0])
    seen = see_whole(Ramp(flip_tta), volume, Window(8, 8))
    expected = torch.zeros(3, 8, 8, 8)
    expected[:2, 2, 3, 4] = torch.tensor([logit, 10 * logit])
    torch.testing.assert_close(seen.regions, expected)
    torch.testing.assert_close(seen.grade, torch.tensor([logit, 10 * logit]))


def test_cards_from_before_flips_could_be_switched_off_average_them(tmp_path):
    save_joint(tmp_path, build_joint(FULL, 0), Window(16, 16), {})
    card = json.loads((tmp_path / "card.json").read_text())
    assert card["architecture"].pop("flip_tta") is True
    (tmp_path / "card.json").write_text(json.dumps(card))
    net, _ = load_joint(tmp_path)
    assert net.architecture.flip_tta is True


def test_one_view_without_flips():
    net, volume = build_joint(FULL._replace(flip_tta=False), 0), volumes(1)[0]
    (seen,), plain = see_samples(net, volume, Window(16, 16), [None]), net(volume[None])
    torch.testing.assert_close(seen.regions, plain.regions[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(seen.grade, plain.grade[0], atol=1e-5, rtol=1e-5)


def test_small_volume_is_padded_and_one_of_the_window_size_is_not():
    net, volume = build_joint(FULL, 0), volumes(1)[0]
    whole = see_whole(net, volume, Window(16, 16))
    torch.testing.assert_close(whole.regions, both_ways(net, volume).regions, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(whole.grade, both_ways(net, volume).grade, atol=1e-5, rtol=1e-5)
    assert whole.attention.shape == (16, 16, 16)
    small = volume[:, 2:14, :, 1:9]
    padded = torch.zeros_like(volume)
    padded[:, 2:14, :, 4:12] = small
    seen = see_whole(net, small, Window(16, 16))
    assert seen.regions.shape == (3, 12, 16, 8)
    expected = both_ways(net, padded).regions[:, 2:14, :, 4:12]
    torch.testing.assert_close(seen.regions, expected, atol=1e-5, rtol=1e-5)


def test_larger_volume_uses_sliding_windows():
    net, volume = build_joint(FULL, 0), volumes(1, 24)[0]
    seen = see_whole(net, volume, Window(16, 16))
    assert seen.regions.shape == (3, 24, 24, 24)
    assert torch.isfinite(seen.regions).all()
    assert torch.isfinite(seen.grade).all()
    # one corner is covered by a single window
    alone = both_ways(net, volume[:, :16, :16, :16])
    torch.testing.assert_close(seen.regions[:, 0, 0, 0], alone.regions[:, 0, 0, 0], atol=1e-4, rtol=1e-4)


def test_samples_share_one_encoding_and_use_their_masks():
    net, volume = build_joint(FULL, 0), volumes(1)[0]
    masks = [net.dropout_masks(1, (0, number)) for number in range(3)]
    together = see_samples(net, volume, Window(16, 16), masks)
    for dropout_masks, seen in zip(masks, together, strict=True):
        torch.testing.assert_close(seen.regions, both_ways(net, volume, dropout_masks).regions, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(seen.grade, both_ways(net, volume, dropout_masks).grade, atol=1e-5, rtol=1e-5)


def test_shrunk_averages():
    x = volumes(1)
    torch.testing.assert_close(shrunk(x, 8), torch.nn.functional.avg_pool3d(x, 2))
    assert shrunk(x, 16) is x
    assert see_whole(build_joint(FULL, 0), volumes(1, 32)[0], Window(32, 16)).regions.shape == (3, 32, 32, 32)


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("architecture", {"width": 10**9}, r"wrong: architecture\.width;"),
        ("architecture", {"width": 12}, r"wrong: architecture\.width;"),
        ("architecture", {"width": {"a": 1}}, r"wrong: architecture\.width;"),
        ("architecture", {"grading": "all"}, r"wrong: architecture\.grading;"),
        ("architecture", {"segmentation": False}, "invalid architecture .*grading 'regions' without segmentation"),
        ("architecture", {"segmentation": False, "grading": "none"}, "grading 'none' without segmentation"),
        ("window", {"roi_size": "a"}, r"wrong: window\.roi_size;"),
        ("window", {"size": 2**40}, r"wrong: window\.size;"),
        ("window", 3, "wrong: window;"),
    ],
)
def test_invalid_card_is_named_with_its_key(part, value, message, tmp_path):
    save_joint(tmp_path, build_joint(FULL, 0), Window(32, 16), {})
    card = json.loads((tmp_path / "card.json").read_text())
    card[part] = card[part] | value if isinstance(value, dict) else value
    (tmp_path / "card.json").write_text(json.dumps(card))
    with pytest.raises(InputError, match=rf"^{tmp_path}/card\.json: .*{message}"):
        load_joint(tmp_path)


def test_saved_network_round_trip_and_mismatch(tmp_path):
    net, window = build_joint(FULL, 0), Window(32, 16)
    save_joint(tmp_path / "a", net, window, {"stage": "test"})
    again, found = load_joint(tmp_path / "a")
    assert found == window
    torch.testing.assert_close(again(volumes()).regions, net(volumes()).regions)
    save_joint(tmp_path / "b", JointNet(FULL._replace(width=16)), window, {})
    (tmp_path / "b/model.safetensors").replace(tmp_path / "a/model.safetensors")
    with pytest.raises(InputError, match=r"model\.safetensors: does not fit .*card\.json"):
        load_joint(tmp_path / "a")
