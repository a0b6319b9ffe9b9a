"""Training a joint network from the weights of another one."""

import pandas as pd
import pytest
import torch

from btlib.core.runtime.artifacts import read_json, write_csv
from btlib.core.runtime.errors import InputError
from btlib.core.runtime.workers import make_fabric
from btlib.volumes.nets.network import build_joint
from btlib.volumes.nets.store import load_joint, save_joint
from btlib.volumes.nets.windows import Window
from btlib.volumes.training.main import VolumeData, train_joint
from tests.volumes.training.joint_samples import ARCHITECTURE, SIDE, settings, spec, write_cases

NORMALIZATION = {"spacing": 3.0, "clip_percentiles": [0.5, 99.5]}
STILL = {"learning_rate": 1e-12}  # too small to change a weight


@pytest.fixture
def data(tmp_path):
    grades = ["LGG", "HGG"] * 4
    write_cases(tmp_path / "normalized", grades)
    names = [f"c{number}" for number in range(len(grades))]
    write_csv(tmp_path / "splits.csv", pd.DataFrame({"case": names, "split": ["train"] * 4 + ["val"] * 4}))
    write_csv(tmp_path / "phantoms" / "index.csv", pd.DataFrame(columns=["case", "patient", "grade", "has_seg"]))
    fabric = make_fabric(1, "fp32")
    return VolumeData(tmp_path / "normalized", tmp_path / "splits.csv", tmp_path / "phantoms", fabric)


@pytest.fixture
def start(tmp_path):
    net = build_joint(ARCHITECTURE, 5)
    save_joint(tmp_path / "start", net, Window(SIDE, SIDE), {"normalisation": NORMALIZATION})
    return tmp_path / "start", net


def train(tmp_path, data, start, normalization=NORMALIZATION, **changes):
    augment = {f"augment.{name}": value for name, value in spec().augmentation._asdict().items()}
    values = ARCHITECTURE._asdict() | augment | vars(settings()) | STILL
    values |= {"size": SIDE, "epochs": 1, "coarse_epochs": 0, "batch_size": 2, "accumulate": 1, "ema_decay": 0.0}
    recipe = values | {"phantom_share": 0.0} | changes
    train_joint(recipe, data, normalization, make_fabric(1, "fp32"), tmp_path / "out", tmp_path / "curves", start)
    return load_joint(tmp_path / "out")[0]


def test_training_starts_from_the_given_weights(data, start, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder, net = start
    trained = train(tmp_path, data, folder, dropout=0.5, flip_tta=False)  # neither changes a layer
    for name, tensor in net.state_dict().items():
        torch.testing.assert_close(trained.state_dict()[name], tensor, atol=1e-6, rtol=0)
    assert trained.architecture.dropout == 0.5
    assert len(read_json(tmp_path / "out" / "card.json")["start"]) == 32
    fresh = train(tmp_path, data, None).state_dict()
    assert any(not torch.allclose(fresh[name], tensor) for name, tensor in net.state_dict().items())
    assert "start" not in read_json(tmp_path / "out" / "card.json")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"width": 16}, "width: 8, here 16"),
        ({"attention": False}, "attention: True, here False"),
        ({"normalization": {"spacing": 2.0, "clip_percentiles": [0.5, 99.5]}}, "spacing: 3.0, here 2.0"),
    ],
)
def test_another_kind_of_network_is_refused(data, start, tmp_path, monkeypatch, changes, said):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=f"joint.start: .*another kind of network .*{said}.*params.yaml"):
        train(tmp_path, data, start[0], **changes)
    assert not (tmp_path / "out").exists()


def test_missing_or_damaged_start_is_refused(data, start, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"joint\.start: nowhere is not a folder"):
        train(tmp_path, data, tmp_path.relative_to(tmp_path) / "nowhere")
    (start[0] / "model.safetensors").write_bytes(b"short")
    with pytest.raises(InputError, match=r"model\.safetensors"):
        train(tmp_path, data, start[0])
