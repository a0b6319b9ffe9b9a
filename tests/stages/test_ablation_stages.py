"""Stages ablate, compare and consistency, one after the other on 60 tiny images."""

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from ruamel.yaml import YAML

from btlib.artifacts import read_csv, read_json, write_array, write_csv, write_json, write_tensors
from btlib.data.classes import CLASSES
from btlib.nets.backbones import Backbone

ROOT = Path(__file__).parents[2]
BACKBONES = ["test_efficientnet", "test_convnext"]
yaml = YAML()


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    params = yaml.load(ROOT / "params.yaml")
    params |= {"backbones": BACKBONES, "image_size": 72, "batch_size": 8, "epochs_stage1": 2, "epochs_stage2": 1}
    params["model"] |= {"width": 16, "heads": 2}
    params["training"] |= {"unfreeze_fraction": 0.5, "train_batchnorm": False}
    params["evaluation"]["bootstrap"] = 100
    params["ablations"] |= {"seeds": [0, 1], "common": {"image_size": 64}}
    params["ablations"] |= {"regularisation": [], "baselines": [], "sensitivity": []}
    params["ablations"]["fusion"] = [
        {"arm": "concatenation", "fusion": "concatenation"},
        {"arm": "gated", "fusion": "gated"},
    ]
    params["ablations"]["keep_networks"] = {"fusion": ["proposed"]}
    yaml.dump(params, tmp_path / "params.yaml")
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 4
    index = pd.DataFrame({"image_id": [f"i{n:02}" for n in range(60)], "label": [CLASSES[n] for n in labels]})
    write_array(tmp_path / "data/processed/images.npy", rng.integers(0, 256, (60, 72, 72, 3), dtype=np.uint8))
    write_csv(tmp_path / "data/processed/index.csv", index)
    splits = ["train"] * 32 + ["val"] * 12 + ["test"] * 16
    write_csv(tmp_path / "data/splits.csv", index[["image_id"]].assign(split=splits))
    write_csv(tmp_path / "data/manifest.csv", index[["image_id"]].assign(group=np.arange(60)))
    write_json(tmp_path / "metrics/split.json", {"train": dict.fromkeys(CLASSES, 8)})
    for name in BACKBONES:
        torch.manual_seed(0)
        write_tensors(tmp_path / f"data/weights/{name}.safetensors", Backbone(name).net.state_dict())
    return tmp_path


def stage(name):
    spec = importlib.util.spec_from_file_location(f"{name}_stage", ROOT / f"stages/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


def set_arms(project, **changes):
    params = yaml.load(project / "params.yaml")
    params["ablations"] |= changes
    yaml.dump(params, project / "params.yaml")


def ablate(table="fusion"):
    stage("ablate")(*map(Path, ("data/processed", "data/splits.csv", "data/weights", f"data/ablations/{table}")))
    return Path(f"data/ablations/{table}")


def compare(table="fusion"):
    folder, figures = Path(f"data/ablations/{table}"), Path(f"data/figures/ablations/{table}")
    files = (folder / "predictions.csv", folder / "runs.csv", Path("data/manifest.csv"), Path("metrics/split.json"))
    stage("compare")(*files, Path(f"metrics/ablation_{table}.json"), figures)
    return read_json(Path(f"metrics/ablation_{table}.json"))


def test_from_arms_to_table_figure_and_agreement_of_maps(project):
    folder = ablate()
    predictions = read_csv(folder / "predictions.csv")
    assert predictions.groupby(["arm", "seed", "split"]).size().to_dict() == {
        (arm, seed, split): n
        for arm in ("proposed", "concatenation", "gated")
        for seed in (0, 1)
        for split, n in (("val", 12), ("test", 16))
    }
    history = read_csv(folder / "history.csv")
    assert history.groupby(["arm", "seed", "stage"]).size().to_dict() == {
        (arm, seed, stage): epochs
        for arm in ("proposed", "concatenation", "gated")
        for seed in (0, 1)
        for stage, epochs in ((1, 2), (2, 1))
    }
    assert sorted(path.name for path in (folder / "networks").iterdir()) == ["proposed"]
    assert not list(Path(".btlib/resume").rglob("*.safetensors"))

    table = compare()
    assert [row["arm"] for row in table["rows"]] == ["proposed", "concatenation", "gated"]
    assert all(len(row["seeds"]) == 2 for row in table["rows"])
    assert table["rows"][1]["paper"]["accuracy"] == 0.9284
    assert Path("data/figures/ablations/fusion/forest.png").stat().st_size > 10_000
    assert "concatenation" in Path("data/figures/ablations/fusion/table.md").read_text()

    places = [folder, *map(Path, ("data/weights", "data/processed", "data/splits.csv", "metrics/c.json", "data/c.csv"))]
    stage("consistency")(*places)
    agreement = read_json(Path("metrics/c.json"))
    assert agreement["seeds"] == 2
    assert set(agreement["maps"]) == {*BACKBONES, "fused"}
    assert set(agreement["maps"]["fused"]) == {"all", *CLASSES}


def test_the_same_command_gives_the_same_files(project):
    def written():
        folder = ablate()
        return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    first = written()
    assert written() == first and len(first) == 3 + 2 * 2


def test_no_row_of_a_removed_arm_or_seed_survives(project):
    ablate()
    set_arms(project, seeds=[1], fusion=[{"arm": "gated", "fusion": "gated"}])
    before = read_csv(Path("data/ablations/fusion/predictions.csv"))
    after = read_csv(ablate() / "predictions.csv")
    kept = before[(before["seed"] == 1) & before["arm"].isin(["proposed", "gated"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(after, kept)  # and what stays is as it was
    assert [row["arm"] for row in compare()["rows"]] == ["proposed", "gated"]


def test_an_empty_table_is_switched_off(project):
    folder = ablate("sensitivity")
    assert len(read_csv(folder / "predictions.csv")) == 0 and not (folder / "networks").exists()
    assert compare("sensitivity") == {"rows": [], "assumptions": {}}
    places = [folder, *map(Path, ("data/weights", "data/processed", "data/splits.csv", "metrics/c.json", "data/c.csv"))]
    stage("consistency")(*places)
    assert read_json(Path("metrics/c.json")) == {"seeds": 0, "maps": {}}


def test_a_diverged_arm_has_a_row_that_says_so(project):
    bad = {"arm": "bad", "focal_alpha": 3e38}  # the loss of a batch is more than fp32 can hold
    set_arms(project, seeds=[0], fusion=[bad])
    folder = ablate()
    failed = read_csv(folder / "runs.csv", text=("failed",)).set_index("arm")["failed"]
    assert "became" in failed["bad"] and failed["proposed"] == ""
    row = compare()["rows"][1]
    assert "became" in row["seeds"][0]["failed"] and row["mean"]["accuracy"] is None
