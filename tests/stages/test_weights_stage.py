"""Stage weights, with weights drawn at random in place of pretrained ones."""

import importlib.util
from pathlib import Path

import pytest

from btlib.core.runtime.artifacts import read_json, read_tensors, write_json
from btlib.core.runtime.errors import InputError
from btlib.images.nets.backbones import Backbone
from btlib.images.nets.weights import load_features

ROOT = Path(__file__).parents[2]


@pytest.fixture
def fetch(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    spec = importlib.util.spec_from_file_location("weights_stage", ROOT / "stages/weights.py")
    stage = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(stage)
    Path("params.yaml").write_text(text.replace("  source: wheel ", "  source: none  "), encoding="utf-8")

    def run(*names: str) -> Path:
        write_json(Path("backbones.json"), {"names": list(names)})
        stage.main(Path("backbones.json"), Path("weights"), Path("weights.lock.json"))
        return Path("weights")

    return run


def test_one_file_for_each_pretrained_backbone(fetch):
    folder = fetch("test_resnet", "attention_cnn", "test_vit")
    assert sorted(path.name for path in folder.iterdir()) == ["test_resnet.safetensors", "test_vit.safetensors"]
    assert not any(name.startswith("head") for name in read_tensors(folder / "test_vit.safetensors")[0])


def test_what_is_written_fits_a_network_whose_classifier_has_a_norm(fetch):
    state = read_tensors(fetch("efficientvit_m0") / "efficientvit_m0.safetensors")[0]
    load_features(Backbone("efficientvit_m0").net, state, "the file")


def test_pins_of_the_hub_stay_when_another_source_is_used(fetch):
    pins = {"resnet50": {"repository": "timm/resnet50.a1_in1k", "revision": "a" * 40, "sha256": "b" * 64}}
    write_json(Path("weights.lock.json"), pins)
    fetch("test_resnet")
    assert read_json(Path("weights.lock.json")) == pins


@pytest.mark.parametrize("name", ["levit_128s", "no_such_network"])
def test_a_backbone_that_cannot_be_used_is_refused_before_anything_is_fetched(fetch, name):
    with pytest.raises(InputError, match=f"backbones: .*'{name}'"):
        fetch("test_resnet", name)
    assert not Path("weights").exists()
