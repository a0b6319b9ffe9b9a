"""Cross-validation on 60 tiny images: a fold is the main model of that fold, to the bit, and a killed run goes on."""

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from ruamel.yaml import YAML

from btlib.core.runtime.artifacts import read_csv, read_json, write_csv, write_tensors
from btlib.core.runtime.workers import SCHEDULER
from btlib.core.training.resume import ResumeState
from btlib.images.data.classes import CLASSES
from btlib.images.nets.backbones import Backbone
from tests.images.data.samples import save_array, save_lesions, save_phantom_slices

ROOT = Path(__file__).parents[2]
BACKBONES = ["test_efficientnet", "test_convnext"]
MANIFEST = Path("data/manifest.csv")
PROCESSED, PHANTOMS, WEIGHTS = Path("data/processed"), Path("data/phantom_slices"), Path("data/weights")
yaml = YAML()


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Three folds of 15 patients with four images each, and networks without training."""
    monkeypatch.chdir(tmp_path)
    params = yaml.load(ROOT / "params.yaml")
    params |= {"backbones": BACKBONES, "image_size": 64, "batch_size": 8, "epochs_stage1": 2, "epochs_stage2": 1}
    params["model"] |= {"width": 16, "heads": 2}
    params["training"] |= {"unfreeze_fraction": 0.5, "train_batchnorm": False}
    params["evaluation"]["bootstrap"] = 100
    params["split"] |= {"folds": 3, "val": 0.2}
    yaml.dump(params, tmp_path / "params.yaml")
    rng = np.random.default_rng(0)
    patients = np.arange(60) // 4
    index = pd.DataFrame({"image_id": [f"i{n:02}" for n in range(60)], "label": np.array(CLASSES)[patients % 4]})
    save_array(PROCESSED / "images.npy", rng.integers(0, 256, (60, 64, 64, 3), dtype=np.uint8))
    write_csv(PROCESSED / "index.csv", index)
    save_lesions(PROCESSED, 60, 64)
    save_phantom_slices(PHANTOMS, 64)
    write_csv(MANIFEST, index.assign(group=patients, patient=[f"P{n}" for n in patients], path=index["image_id"]))
    for name in BACKBONES:
        torch.manual_seed(0)
        write_tensors(WEIGHTS / f"{name}.safetensors", Backbone(name).net.state_dict())
    return tmp_path


def main_of(name):
    spec = importlib.util.spec_from_file_location(f"{name}_stage", ROOT / f"stages/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


def set_split(**changes):
    params = yaml.load(Path("params.yaml"))
    params["split"] |= changes
    yaml.dump(params, Path("params.yaml"))


def main_model(fold):
    """The road of the main model with split.fold; returns its answers, validation and test."""
    set_split(fold=fold)
    split, here = Path("splits.csv"), Path(f"main{fold}")
    main_of("split_images")(Path(), MANIFEST, split, Path("split.json"))
    main_of("train_stage1")(PROCESSED, split, PHANTOMS, WEIGHTS, here / "stage1", here / "curves1")
    main_of("train_stage2")(PROCESSED, split, PHANTOMS, here / "stage1", here / "stage2", here / "curves2")
    out = [here / name for name in ("predictions", "scores.json", "figures", "training", "plots")]
    main_of("evaluate")(here / "stage2", here / "stage1/card.json", PROCESSED, MANIFEST, split, *out)
    return {part: read_csv(here / f"predictions/{part}.csv", text=("image_id",)) for part in ("val", "test")}


def train_folds(out="data/folds"):
    main_of("check")(Path("params.yaml"), Path("params.checked"), Path("recipes"))
    main_of("train_folds")(
        Path("recipes/main.json"), PROCESSED, MANIFEST, PHANTOMS, WEIGHTS, Path("main0/predictions"), Path(out)
    )
    return read_csv(Path(out) / "predictions.csv", text=("image_id", "label", "split"))


def of_fold(table, fold, part):
    rows = table[(table["fold"] == fold) & (table["split"] == part)]
    return rows.drop(columns=["fold", "split"]).reset_index(drop=True)


def test_a_fold_is_the_main_model_of_that_fold_and_all_are_pooled(project):
    first, other = main_model(0), main_model(1)
    set_split(fold=0)
    found = train_folds()
    tested = found[found["split"] == "test"]
    assert sorted(tested["image_id"]) == [f"i{n:02}" for n in range(60)], "every image is tested once"
    for part in ("val", "test"):
        for fold, expected in ((0, first), (1, other)):
            answers = of_fold(found, fold, part)[list(expected[part].columns)]
            pd.testing.assert_frame_equal(answers, expected[part], check_exact=True, check_dtype=False)
    assert not list(Path(".btlib/resume").rglob("*.safetensors")), "the states go once all folds are safe"

    main_of("cross_validate")(Path("data/folds/predictions.csv"), MANIFEST, Path("cv.json"), Path("figures"))
    scores = read_json(Path("cv.json"))
    probabilities = tested[[f"p_{name}" for name in CLASSES]].to_numpy()
    right = np.array(CLASSES)[probabilities.argmax(axis=1)] == tested["label"].to_numpy()
    assert scores["pooled"]["accuracy"] == pytest.approx(right.mean())
    assert (scores["pooled"]["n_test"], scores["pooled"]["n_patients"], len(scores["folds"])) == (60, 15, 3)
    assert {path.name for path in Path("figures").iterdir()} == {"folds.png", "classification.png"}


def test_a_killed_run_goes_on_to_the_same_numbers(project, monkeypatch):
    main_model(0)
    whole = train_folds("whole")

    class Killed(Exception):
        pass

    save, saved = ResumeState.save, []

    def dying(self, tensors, state):
        save(self, tensors, state)
        saved.append(state.epoch)
        if len(saved) == 5:  # in the middle of the second of two folds that are trained
            raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(ResumeState, "save", dying)
        train_folds("resumed")
    assert not Path("resumed").exists()
    pd.testing.assert_frame_equal(train_folds("resumed"), whole, check_exact=True)


@pytest.mark.xdist_group("cluster")
def test_folds_from_a_cluster_are_the_same(project, on_cluster, monkeypatch):
    main_model(0)
    there = train_folds("there")
    monkeypatch.delenv(SCHEDULER)
    pd.testing.assert_frame_equal(train_folds("here"), there, check_exact=True)
    assert Path("there/history.csv").read_bytes() == Path("here/history.csv").read_bytes()


def test_without_folds_there_is_nothing_to_train(project):
    set_split(folds=1)
    assert train_folds().empty
    main_of("cross_validate")(Path("data/folds/predictions.csv"), MANIFEST, Path("cv.json"), Path("figures"))
    scores = read_json(Path("cv.json"))
    assert scores["folds"] == [] and scores["pooled"] is None and not list(Path("figures").iterdir())
