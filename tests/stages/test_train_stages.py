"""`kill -9` during training, then `dvc repro`, in a small project of its own."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from ruamel.yaml import YAML

from btlib.core.runtime.artifacts import read_tensors, write_csv, write_tensors
from btlib.images.data.classes import CLASSES
from btlib.images.nets.backbones import Backbone
from tests.images.data.samples import save_array, save_lesions, save_phantom_slices

ROOT = Path(__file__).parents[2]
BACKBONES = ["test_efficientnet", "test_convnext"]
EPOCHS = 8
yaml = YAML()


@pytest.fixture
def project(tmp_path):
    """The stages train_stage1 and train_stage2 alone, with 32 images of 32 px and networks without training."""
    for folder in ("btlib", "stages"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    pipeline = yaml.load(ROOT / "dvc.yaml")
    pipeline["stages"] = {name: pipeline["stages"][name] for name in ("train_stage1", "train_stage2")}
    del pipeline["plots"]
    yaml.dump(pipeline, tmp_path / "dvc.yaml")
    set_params(
        tmp_path,
        backbones=BACKBONES,
        batch_size=8,
        epochs_stage1=EPOCHS,
        epochs_stage2=2,
        training={"patience": EPOCHS},
        model={"width": 16, "heads": 2},
    )
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 4
    save_array(tmp_path / "data/processed/images.npy", rng.integers(0, 256, (40, 32, 32, 3), dtype=np.uint8))
    index = pd.DataFrame({"image_id": [f"i{n}" for n in range(40)], "label": [CLASSES[n] for n in labels]})
    write_csv(tmp_path / "data/processed/index.csv", index)
    save_lesions(tmp_path / "data/processed", 40, 32)
    save_phantom_slices(tmp_path / "data/phantom_slices", 32)
    write_csv(tmp_path / "data/splits.csv", index[["image_id"]].assign(split=["train"] * 32 + ["val"] * 8))
    for name in BACKBONES:
        torch.manual_seed(0)
        write_tensors(tmp_path / f"data/weights/{name}.safetensors", Backbone(name).net.state_dict())
    for words in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "start"]):
        subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@t", *words], cwd=tmp_path, check=True)
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], cwd=tmp_path, check=True, env=environment(tmp_path))
    return tmp_path


def set_params(project, **changes):
    path = project / "params.yaml"
    params = yaml.load(path if path.exists() else ROOT / "params.yaml")
    for key, value in changes.items():
        params[key] = params[key] | value if isinstance(value, dict) else value
    yaml.dump(params, path)


def environment(project):
    return os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(project),
        "OMP_NUM_THREADS": "1",
    }


def start(project, stage):
    """`dvc repro` in a process group of its own, so that a kill takes the training process along."""
    log = (project / "log.txt").open("w")
    command = [sys.executable, "-m", "dvc", "repro", stage]
    return subprocess.Popen(
        command, cwd=project, env=environment(project), stdout=log, stderr=log, start_new_session=True
    )


def finish(project, stage):
    process = start(project, stage)
    assert process.wait(timeout=600) == 0, (project / "log.txt").read_text()[-3000:]
    return read_tensors(project / f"models/{stage.removeprefix('train_')}/model.safetensors")[0]


def saved_epochs(project):
    states = list(project.glob(".btlib/resume/stage1/*.safetensors"))
    return [int(read_tensors(path)[1]["state"].split('"epoch": ')[1].split(",")[0]) for path in states]


def kill_after(project, epochs):
    process = start(project, "train_stage1")
    deadline = time.monotonic() + 600
    while not any(epoch >= epochs for epoch in saved_epochs(project)):
        assert time.monotonic() < deadline and process.poll() is None, (project / "log.txt").read_text()[-3000:]
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def assert_same(a, b):
    assert a.keys() == b.keys()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []


def test_a_killed_run_resumes_to_bit_equal_weights_and_never_under_other_params(project):
    kill_after(project, 2)
    assert not (project / "models/stage1").exists()
    (epoch,) = saved_epochs(project)
    assert 2 <= epoch < EPOCHS

    set_params(project, mixup_alpha=0.4)  # the state of α = 0.1 is there, and must not be taken
    other = finish(project, "train_stage1")
    assert saved_epochs(project) == [epoch], "the other run's state is neither used nor lost"

    set_params(project, mixup_alpha=0.1)
    resumed = finish(project, "train_stage1")
    assert saved_epochs(project) == []
    shutil.rmtree(project / "models")
    (project / "dvc.lock").unlink()
    shutil.rmtree(project / ".dvc/cache")
    whole = finish(project, "train_stage1")
    assert_same(resumed, whole)
    assert any(not torch.equal(whole[name], other[name]) for name in whole)

    second = finish(project, "train_stage2")
    tail = [name for name in whole if not torch.equal(whole[name], second[name])]
    assert any(name.startswith("backbones") for name in tail)
