"""The stage on a fake network, with the committed params.yaml."""

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from btlib.core.runtime.artifacts import read_csv, read_json, write_csv, write_json
from btlib.core.runtime.errors import InputError
from btlib.images.data.classes import CLASSES
from tests.images.data.samples import save_array

STAGE = Path(__file__).parents[2] / "stages/evaluate.py"
OUTPUTS = ("predictions", "metrics", "figures_out", "training", "plots")


def fake_predict(net, images):
    """The class is in the first pixel; the second makes every fifth image look like the next class."""
    said = (images[:, 0, 0, 0] + images[:, 0, 0, 1]) % 4
    return 0.8 * np.eye(4)[said] + 0.05


@pytest.fixture
def stage(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("evaluate_stage", STAGE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.chdir(STAGE.parents[1])
    monkeypatch.setattr(module, "load_classifier", lambda folder: SimpleNamespace(classes=CLASSES))
    monkeypatch.setattr(module, "predict", fake_predict)
    labels = np.arange(80) % 4
    images = np.zeros((80, 8, 8, 3), dtype=np.uint8)
    images[:, 0, 0, 0], images[::5, 0, 0, 1] = labels, 1
    ids = [f"i{n:02}" for n in range(80)]
    save_array(tmp_path / "processed/images.npy", images)
    write_csv(tmp_path / "processed/index.csv", pd.DataFrame({"image_id": ids, "label": [CLASSES[k] for k in labels]}))
    splits = pd.DataFrame({"image_id": ids[::-1], "split": ["train"] * 20 + ["val"] * 20 + ["test"] * 40})
    write_csv(tmp_path / "splits.csv", splits)
    write_csv(tmp_path / "manifest.csv", pd.DataFrame({"image_id": ids[::-1], "group": np.arange(80)[::-1] // 2}))
    history = [{"epoch": 0, "train_loss": 1.0, "val_loss": 1.0, "train_accuracy": 0.5, "val_accuracy": 0.5}]
    for name in ("stage1", "card"):
        write_json(tmp_path / f"{name}.json", {"stage": name, "history": history})
    paths = {"model": tmp_path, "stage1_card": tmp_path / "stage1.json", "processed": tmp_path / "processed"}
    paths |= {name: tmp_path / f"{name}.csv" for name in ("manifest", "splits")}
    paths |= {name: tmp_path / name for name in OUTPUTS}
    module.call = lambda: module.main(**paths)
    return module


def test_tables_metrics_figures_and_plots(stage, tmp_path):
    stage.call()
    test = read_csv(tmp_path / "predictions/test.csv")
    assert test["image_id"].tolist() == [f"i{n:02}" for n in range(40)]
    assert test.columns.tolist() == ["image_id", "label", *(f"p_{name}" for name in CLASSES)]
    scores = read_json(tmp_path / "metrics")
    assert scores["n_test"] == 40 and scores["n_groups"] == 20 and scores["errors"] == 8 and scores["accuracy"] == 0.8
    assert {path.stem for path in (tmp_path / "figures_out").iterdir()} == {
        "classification",
        "roc",
        "precision_recall",
        "calibration",
        "predictions",
    }
    training = {path.stem for path in (tmp_path / "training").iterdir()}
    assert training == {"fig4_augmented_views", "fig5_mixup", "fig8_stage1", "fig9_stage2"}
    assert {path.stem for path in (tmp_path / "plots/roc").iterdir()} == {*CLASSES, "micro", "macro"}
    assert len(read_csv(tmp_path / "plots/confusion.csv")) == 40


def test_two_runs_write_the_same_bytes(stage, tmp_path, monkeypatch):
    monkeypatch.setattr(stage.FigureFolder, "write", lambda *_: None)  # test_evaluation_figures.py has these

    def written():
        files = [path for name in OUTPUTS for path in [tmp_path / name, *(tmp_path / name).rglob("*")]]
        return {path: path.read_bytes() for path in files if path.is_file()}

    stage.call()
    first = written()
    stage.call()
    assert written() == first and len(first) > 10


def test_a_network_that_gives_nan_stops_the_stage(stage, tmp_path, monkeypatch):
    monkeypatch.setattr(stage, "predict", lambda net, images: np.full((len(images), 4), np.nan))
    with pytest.raises(InputError, match=r"val\.csv:\n  - image_id 'i40': probabilities NaN"):
        stage.call()
    assert not (tmp_path / "metrics").exists()
