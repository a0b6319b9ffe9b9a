"""Networks kept without the tensors that still are as pretrained."""

import json

import pytest
import torch

from btlib.core.runtime.artifacts import read_tensors, write_tensors
from btlib.core.runtime.errors import InputError
from btlib.core.runtime.network_files import CARD
from btlib.images.data.classes import CLASSES
from btlib.images.nets.backbones import Backbone
from btlib.images.nets.classifier import Architecture, build_classifier
from btlib.images.nets.store import kept_networks, load_classifier, read_states, save_classifier, save_trained

NAMES = ("test_efficientnet", "test_convnext")


@pytest.fixture
def states(tmp_path):
    torch.manual_seed(0)
    for name in NAMES:
        write_tensors(tmp_path / f"weights/{name}.safetensors", Backbone(name).net.state_dict())
    return read_states(tmp_path / "weights", NAMES)


@pytest.fixture
def net(states):
    net = build_classifier(Architecture(NAMES, "gated_cross_attention", 16, 2, 0.3, CLASSES), states, 0)
    with torch.no_grad():
        net.backbones[1].net.stages[-1].blocks[-1].mlp.fc1.weight.add_(1)
    return net


def test_only_what_changed_is_written_and_all_comes_back(net, states, tmp_path):
    save_trained(tmp_path / "kept", net, states, {"arm": "x"})
    save_classifier(tmp_path / "whole", net, {})
    written = read_tensors(tmp_path / "kept/model.safetensors")[0]
    changed = [name for name in written if name.startswith("backbones")]
    assert changed == ["backbones.1.net.stages.3.blocks.0.mlp.fc1.weight"] or len(changed) == 1
    assert {"linear.weight", "linear.bias"} <= set(written)
    kept, whole = load_classifier(tmp_path / "kept", states), load_classifier(tmp_path / "whole")
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(kept(images), whole(images)) and torch.equal(kept(images), net(images))


def test_without_the_pretrained_states_the_rest_is_missed(net, states, tmp_path):
    save_trained(tmp_path / "kept", net, states, {})
    with pytest.raises(InputError, match="does not fit"):
        load_classifier(tmp_path / "kept")


def test_networks_come_in_the_order_of_their_seeds(net, states, tmp_path):
    for seed in (10, 2):
        save_trained(tmp_path / f"arm/{seed}", net, states, {"seed": seed})
    assert [card["seed"] for _, card in kept_networks(tmp_path / "arm", tmp_path / "weights")] == [2, 10]
    assert list(kept_networks(tmp_path / "absent", tmp_path / "weights")) == []


@pytest.mark.parametrize("name", [".DS_Store", "seed 3", "-1", "²"])
def test_what_is_no_seed_is_named(name, net, states, tmp_path):
    save_trained(tmp_path / "arm/3", net, states, {})
    (tmp_path / "arm" / name).mkdir()
    with pytest.raises(InputError, match=rf"arm/{name}: expected folders named by their seed"):
        next(kept_networks(tmp_path / "arm", tmp_path / "weights"))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("backbones", ["test_efficientnet", 3], r"missing or wrong: architecture\.backbones\.1; recreate it"),
        ("backbones", [], r"wrong: architecture\.backbones;"),
        ("backbones", ["a"] * 100_000, r"wrong: architecture\.backbones;"),
        ("backbones", ["no_such_net", "test_convnext"], "invalid architecture .*timm has no model 'no_such_net'"),
        ("backbones", ["test_convnext"], "invalid architecture .*takes two feature maps, found 1"),
        ("fusion", 10**30, r"wrong: architecture\.fusion;"),
        ("fusion", "sum", r"wrong: architecture\.fusion;"),
        ("width", 10**9, r"wrong: architecture\.width;"),
        ("width", 17, "invalid architecture .*embed_dim must be divisible by num_heads"),
        ("heads", 0, r"wrong: architecture\.heads;"),
        ("dropout", float("1e400"), "not a valid JSON file .*Infinity"),
        ("classes", 0.0, r"wrong: architecture\.classes;"),
        (None, "\ud800", "wrong: architecture;"),
        (None, ["a"] * 7, r"wrong: architecture\."),
    ],
)
def test_a_card_of_the_wrong_form_is_named_with_its_key(key, value, message, net, tmp_path):
    save_classifier(tmp_path, net, {})
    card = json.loads((tmp_path / CARD).read_text())
    card["architecture"] = value if key is None else card["architecture"] | {key: value}
    (tmp_path / CARD).write_text(json.dumps(card))
    with pytest.raises(InputError, match=rf"^{tmp_path / CARD}: .*{message}"):
        load_classifier(tmp_path)


def test_what_is_trained_from_scratch_has_no_pretrained_state_and_is_kept_whole(states, tmp_path):
    names = (NAMES[0], "attention_cnn")
    assert list(read_states(tmp_path / "weights", names)) == [NAMES[0]]  # there is no file of the other's
    net = build_classifier(Architecture(names, "concatenation", 16, 2, 0.3, CLASSES), states, 3)
    save_trained(tmp_path / "arm/3", net, states, {})
    written = read_tensors(tmp_path / "arm/3/model.safetensors")[0]
    scratch = {f"backbones.1.net.{name}" for name in net.backbones[1].net.state_dict()}
    assert {name for name in written if name.startswith("backbones")} == scratch
    ((back, _),) = kept_networks(tmp_path / "arm", tmp_path / "weights")
    assert all(torch.equal(tensor, back.state_dict()[name]) for name, tensor in net.state_dict().items())
