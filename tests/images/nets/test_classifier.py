import json

import pytest
import torch

from btlib.core.runtime.errors import InputError
from btlib.images.nets.backbones import Backbone
from btlib.images.nets.classifier import Architecture, build_classifier
from btlib.images.nets.features import see
from btlib.images.nets.store import load_classifier, save_classifier

CLASSES = ("a", "b", "c")
PAIR = Architecture(("test_efficientnet", "test_convnext"), "gated_cross_attention", 8, 2, 0.1, CLASSES)


@pytest.fixture(scope="module")
def states():
    return {name: Backbone(name).net.state_dict() for name in PAIR.backbones}


def test_features_then_head_is_forward(states):
    net = build_classifier(PAIR, states, 0)
    images = torch.rand(2, 3, 64, 32)
    cuts = net.cuts_for(0.3)
    with torch.no_grad():
        logits = net(images)
        assert logits.shape == (2, 3)
        assert torch.equal(net.head(net.features(images)), logits)
        assert torch.equal(net.head(net.tail(net.trunk(images, cuts), cuts)), logits)


def test_a_mirrored_network_answers_the_same_for_an_image_and_its_mirror_image(states):
    plain, both = (build_classifier(PAIR._replace(flip_tta=on), states, 0) for on in (False, True))
    images = torch.rand(2, 3, 64, 32)
    with torch.no_grad():
        one, other = plain(images), plain(images.flip(3))
        torch.testing.assert_close(both(images), (one + other) / 2)
        torch.testing.assert_close(both(images.flip(3)), both(images))
        torch.testing.assert_close(see(both, images).logits, both(images))
    assert not torch.allclose(one, other)


def test_the_same_key_gives_the_same_weights_whatever_was_drawn_before(states):
    first = build_classifier(PAIR, states, 0)
    torch.rand(7)
    before = torch.get_rng_state()
    second = build_classifier(PAIR, states, 0)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first.linear.weight, second.linear.weight)
    assert not torch.equal(first.linear.weight, build_classifier(PAIR, states, 1).linear.weight)


def test_what_has_no_pretrained_weights_is_drawn_anew_for_each_seed():
    scratch = PAIR._replace(backbones=("attention_cnn",), fusion="none")
    first, again, other = (build_classifier(scratch, {}, seed).backbones[0].net for seed in (0, 0, 1))
    for name, tensor in first.named_parameters():
        assert torch.equal(tensor, again.get_parameter(name))
    assert not torch.equal(first.stem.conv.weight, other.stem.conv.weight)


def test_the_dropout_mask_multiplies_the_fused_vector(states):
    net = build_classifier(PAIR, states, 0)
    features = net.features(torch.rand(2, 3, 32, 32))
    torch.testing.assert_close(net.branch_logits(features, torch.zeros(2, 16)), net.linear.bias.expand(1, 2, 3))


def test_a_saved_network_comes_back_bit_equal(states, tmp_path):
    net = build_classifier(PAIR, states, 0)
    save_classifier(tmp_path, net, {"note": "x"})
    back = load_classifier(tmp_path)
    images = torch.rand(2, 3, 32, 32)
    assert back.classes == CLASSES
    assert not back.training
    with torch.no_grad():
        assert torch.equal(back(images), net(images))


def test_tensors_of_another_architecture_are_refused(states, tmp_path):
    save_classifier(tmp_path, build_classifier(PAIR, states, 0), {})
    card = json.loads((tmp_path / "card.json").read_text())
    card["architecture"]["width"] = 16
    (tmp_path / "card.json").write_text(json.dumps(card))
    with pytest.raises(InputError, match=r"model\.safetensors: does not fit .*card\.json"):
        load_classifier(tmp_path)
