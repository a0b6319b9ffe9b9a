"""weights.source: hub, against a stand-in for the Hugging Face hub on this machine."""

import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import timm
import torch
from huggingface_hub import constants
from ruamel.yaml import YAML
from timm.models import get_pretrained_cfg

from btlib.core.runtime.artifacts import read_json, read_tensors, write_json, write_tensors
from btlib.core.runtime.errors import InputError
from btlib.images.nets.hub import Pin, read_pins
from btlib.images.nets.weights import features_state, has_pretrained, pretrained
from tests.images.nets.model_hub import model_hub

ROOT = Path(__file__).parents[3]
NAME, REPOSITORY = "test_efficientnet", "timm/test_efficientnet.r160_in1k"
FIRST, SECOND = "1" * 40, "2" * 40


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """The stand-in, which has one network, in place of the hub; an empty cache; no waiting between tries."""
    with model_hub() as hub:
        to(hub.address, monkeypatch)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(time, "sleep", lambda _: None)
        hub.publish(REPOSITORY, FIRST, weights_file(tmp_path / "first", NAME, seed=1))
        yield hub


def to(address, monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", f"{address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    )


def weights_file(path, name, seed=0):
    torch.manual_seed(seed)
    write_tensors(path, timm.create_model(name).state_dict())
    return path


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def same(model, file):
    served = read_tensors(file)[0]
    return all(torch.equal(tensor, served[key]) for key, tensor in model.state_dict().items())


def blob(tmp_path):
    """The one file of weights in the cache."""
    (file,) = (tmp_path / "cache").glob("models--*/blobs/*")
    return file


def test_the_first_download_pins_what_came(hub, tmp_path):
    pins = {}
    model = pretrained(NAME, "hub", pins=pins)
    assert same(model, tmp_path / "first")
    assert not model.training
    assert pins == {NAME: Pin(repository=REPOSITORY, revision=FIRST, sha256=sha256(tmp_path / "first"))}
    assert [path for path in (tmp_path / "cache").rglob("*") if path.suffix in (".bin", ".pth")] == []


def test_a_pinned_network_stays_when_the_hub_has_a_newer_one(hub, tmp_path):
    pins = {}
    pretrained(NAME, "hub", pins=pins)
    hub.publish(REPOSITORY, SECOND, weights_file(tmp_path / "second", NAME, seed=2))
    shutil.rmtree(tmp_path / "cache")
    before = dict(pins)
    assert same(pretrained(NAME, "hub", pins=pins), tmp_path / "first")
    assert pins == before
    assert same(pretrained(NAME, "hub", pins={}), tmp_path / "second")  # its entry removed: the newest is accepted


def test_other_bytes_for_the_same_commit_are_refused(hub, tmp_path):
    pins = {}
    pretrained(NAME, "hub", pins=pins)
    shutil.rmtree(tmp_path / "cache")
    hub.publish(REPOSITORY, FIRST, weights_file(tmp_path / "forged", NAME, seed=2))
    with pytest.raises(
        InputError,
        match=rf"its SHA-256 is {sha256(tmp_path / 'forged')}, but weights\.lock\.json has "
        rf"{sha256(tmp_path / 'first')} for the same commit 1+\. "
        rf".* remove the entry '{NAME}' from weights\.lock\.json and run `dvc repro weights`",
    ):
        pretrained(NAME, "hub", pins=pins)
    pins.clear()
    assert same(pretrained(NAME, "hub", pins=pins), tmp_path / "forged")  # as the message says


def test_a_commit_that_the_hub_no_longer_has(hub, tmp_path):
    pin = Pin(repository=REPOSITORY, revision=SECOND, sha256="0" * 64)
    with pytest.raises(InputError, match=rf"the pinned commit 2+ is no longer there\. .* remove the entry '{NAME}'"):
        pretrained(NAME, "hub", pins={NAME: pin})


def test_another_repository_than_pinned_is_refused(hub):
    """As after an update of timm, whose default for a network may change, with the preprocessing."""
    pin = Pin(repository="timm/another", revision=FIRST, sha256="0" * 64)
    with pytest.raises(InputError, match=rf"weights from timm/another, but the installed timm names {REPOSITORY}"):
        pretrained(NAME, "hub", pins={NAME: pin})
    assert hub.requests == []


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("cut", r"RemoteProtocolError: peer closed connection.*Is there a network\?"),
        ("other bytes", r"damaged: its SHA-256 is .*Delete this file and run the same command again"),
        ("page for the file", r"the download was cut short, or is another file"),
        ("page", r"http://127.* does not answer as a model hub, but perhaps as a proxy's page"),
        ("no file", r"does not hold it, and btlib loads no other kind of file"),
        (401, r"no such repository, or not without a login\. .*HF_TOKEN"),
        (403, r"the hub refuses access to it\. Accept its terms .*HF_TOKEN"),
        (404, r"does not hold it|error 404"),
        (500, r"the hub answered with error 500\. Try again later"),
        (503, r"the hub answered with error 503\. Try again later"),
    ],
)
def test_what_goes_wrong_is_one_error_and_pins_nothing(hub, fault, message):
    hub.fault, pins = fault, {}
    with pytest.raises(InputError, match=rf"^weights\.source hub: {NAME}: .*{message}.*weights\.source 'wheel'"):
        pretrained(NAME, "hub", pins=pins)
    assert pins == {}
    assert not [request for request in hub.requests if "pytorch_model" in request]


@pytest.mark.parametrize("fault", ["cut", "page for the file", 503])
def test_the_same_command_again_succeeds_once_the_hub_is_well(hub, tmp_path, fault):
    hub.fault = fault
    with pytest.raises(InputError):
        pretrained(NAME, "hub")
    hub.fault = None
    assert same(pretrained(NAME, "hub"), tmp_path / "first")


def test_a_damaged_copy_in_the_cache_is_named_and_another_fetched_once_it_is_deleted(hub, tmp_path):
    pins = {}
    pretrained(NAME, "hub", pins=pins)
    file = blob(tmp_path)
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(InputError, match=rf"{file}: damaged: .*Delete this file and run"):
        pretrained(NAME, "hub", pins=pins)
    file.unlink()
    assert same(pretrained(NAME, "hub", pins=pins), tmp_path / "first")


def test_weights_of_another_network_are_refused_and_not_pinned(hub, tmp_path):
    hub.publish(REPOSITORY, SECOND, weights_file(tmp_path / "other", "test_resnet"))
    pins = {}
    with pytest.raises(InputError, match=r"not a valid file of this network's weights \(RuntimeError"):
        pretrained(NAME, "hub", pins=pins)
    assert pins == {}


def test_offline_the_cache_is_enough(hub, tmp_path, monkeypatch):
    pins = {}
    pretrained(NAME, "hub", pins=pins)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub.requests.clear()
    assert same(pretrained(NAME, "hub", pins=pins), tmp_path / "first")
    assert same(pretrained(NAME, "hub", pins={}), tmp_path / "first")
    assert hub.requests == []


def test_offline_without_a_cache(hub, tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=rf"HF_HUB_OFFLINE is set, and the cache {tmp_path / 'cache'} does not hold"):
        pretrained(NAME, "hub")


def test_no_network_is_one_error_with_the_remedy(hub, monkeypatch):
    to("http://127.0.0.1:1", monkeypatch)  # nothing listens there
    with pytest.raises(InputError, match=r"ConnectError: .*Is there a network\? Connect this machine; or fill"):
        pretrained(NAME, "hub")


def test_no_network_but_a_cache(hub, tmp_path, monkeypatch):
    pretrained(NAME, "hub")
    to("http://127.0.0.1:1", monkeypatch)
    assert same(pretrained(NAME, "hub"), tmp_path / "first")


@pytest.mark.parametrize("name", ["legacy_seresnet18", "coatnet_0_224"])
def test_a_network_that_the_hub_does_not_have(name):
    with pytest.raises(InputError, match=rf"{name}: timm knows no weights of it on the hub\. Alternatives"):
        pretrained(name, "hub")


def test_a_lock_with_anything_but_pins_is_refused(tmp_path):
    lock = tmp_path / "weights.lock.json"
    assert read_pins(lock) == {}
    write_json(lock, {NAME: {"repository": REPOSITORY, "revision": "main", "sha256": "0" * 64}})
    with pytest.raises(InputError, match=r"weights\.lock\.json: not a valid record of pinned weights .*revision"):
        read_pins(lock)


def test_the_stage_with_the_variables_that_users_set(hub, tmp_path):
    """In a process of its own, since huggingface_hub reads HF_ENDPOINT and the others when it is imported."""

    options = ["--backbones", "names.json", "--out", "weights", "--lock", "weights.lock.json"]

    def stage(**variables):
        return subprocess.run(
            [sys.executable, ROOT / "stages/weights.py", *options],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT), "HF_HOME": str(tmp_path / "home")} | variables,
            capture_output=True,
            text=True,
        )

    write_json(tmp_path / "names.json", {"names": [NAME, "attention_cnn"]})
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    (tmp_path / "params.yaml").write_text(text.replace("  source: wheel ", "  source: hub  "), encoding="utf-8")

    done = stage(HF_ENDPOINT=hub.address)
    assert done.returncode == 0, done.stderr
    written = read_tensors(tmp_path / f"weights/{NAME}.safetensors")[0]
    served = read_tensors(tmp_path / "first")[0]
    assert all(torch.equal(tensor, served[key]) for key, tensor in written.items())
    pinned = {"repository": REPOSITORY, "revision": FIRST, "sha256": sha256(tmp_path / "first")}
    assert read_json(tmp_path / "weights.lock.json") == {NAME: pinned}

    assert stage(HF_ENDPOINT="http://127.0.0.1:1", HF_HUB_OFFLINE="1").returncode == 0


def paper_backbones():
    """The pretrained networks of profiles/paper.yaml, the main pair and those of Table 6."""
    profile = YAML(typ="safe", pure=True).load(ROOT / "profiles/paper.yaml")
    arms = [profile, *profile["ablations"]["baselines"]]
    return sorted({name for arm in arms for name in arm["backbones"] if has_pretrained(name)})


@pytest.mark.parametrize("name", paper_backbones())
def test_every_backbone_of_the_paper_comes_in(hub, tmp_path, name):
    repository = get_pretrained_cfg(name).hf_hub_id
    file = weights_file(tmp_path / "real", name)
    hub.publish(repository, FIRST, file)
    pins = {}
    model = pretrained(name, "hub", pins=pins)
    served = read_tensors(file)[0]
    assert all(torch.equal(tensor, served[key]) for key, tensor in features_state(model).items())
    assert pins[name].repository == repository
    shutil.rmtree(tmp_path / "cache")
