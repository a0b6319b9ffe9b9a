"""The stages behind the tables, one after the other on 60 tiny images: ablations, robustness, shortcuts."""

import importlib.util
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from ruamel.yaml import YAML

from btlib.core.metrics.score_table import read_scores
from btlib.core.runtime.artifacts import read_csv, read_json, write_csv, write_json, write_tensors
from btlib.core.runtime.workers import SCHEDULER
from btlib.images.data.classes import CLASSES
from btlib.images.data.corruptions import CORRUPTIONS, SEVERITIES
from btlib.images.nets.backbones import Backbone
from btlib.images.nets.classifier import Architecture, build_classifier
from btlib.images.nets.store import read_states, save_classifier
from tests.core.runtime.hub import wait_for
from tests.images.data.samples import save_array, save_lesions, save_phantom_slices

ROOT = Path(__file__).parents[2]
BACKBONES = ["test_efficientnet", "test_convnext"]
yaml = YAML()


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    params = yaml.load(ROOT / "params.yaml")
    params |= {"backbones": BACKBONES, "image_size": 72, "batch_size": 8, "epochs_stage1": 2, "epochs_stage2": 1}
    params["model"] |= {"width": 16, "heads": 2}
    params["lesion"]["weight"] = 1.0  # more, and the few steps here leave one class without any heat
    params["training"] |= {"unfreeze_fraction": 0.5, "train_batchnorm": False}
    params["evaluation"]["bootstrap"] = 100
    params["ablations"] |= {"seeds": [0, 1], "common": {"image_size": 64}}
    params["ablations"] |= {"regularisation": [], "baselines": [], "sensitivity": [], "lesion": []}
    params["ablations"]["fusion"] = [
        {"arm": "concatenation", "fusion": "concatenation"},
        {"arm": "gated", "fusion": "gated"},
    ]
    params["ablations"]["keep_networks"] = {"fusion": ["proposed"]}
    yaml.dump(params, tmp_path / "params.yaml")
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 4
    index = pd.DataFrame({"image_id": [f"i{n:02}" for n in range(60)], "label": [CLASSES[n] for n in labels]})
    save_array(tmp_path / "data/processed/images.npy", rng.integers(0, 256, (60, 72, 72, 3), dtype=np.uint8))
    write_csv(tmp_path / "data/processed/index.csv", index)
    save_lesions(tmp_path / "data/processed", 60, 72)
    save_phantom_slices(tmp_path / "data/phantom_slices", 72)
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


def recipes():
    stage("check")(Path("params.yaml"), Path("data/params.checked"), Path("data/recipes"))


def ablate(table="fusion"):
    recipes()
    stage("ablate")(
        *map(
            Path,
            (
                f"data/recipes/{table}.json",
                "data/processed",
                "data/splits.csv",
                "data/phantom_slices",
                "data/weights",
                f"data/ablations/{table}",
            ),
        )
    )
    return Path(f"data/ablations/{table}")


def compare(table="fusion"):
    folder, figures = Path(f"data/ablations/{table}"), Path(f"data/figures/ablations/{table}")
    files = (folder, Path("data/manifest.csv"), Path("metrics/split.json"))
    scores = Path(f"data/tables/ablation_{table}.csv")
    stage("compare")(*files, Path(f"metrics/ablation_{table}.json"), scores, figures)
    return read_scores(scores)


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

    outputs = ("metrics/c.json", "data/tables/c.csv", "data/c.csv")
    stage("consistency")(folder, *map(Path, ("data/weights", "data/processed", "data/splits.csv", *outputs)))
    agreement = read_scores(Path("data/tables/c.csv"))
    assert agreement["seeds"] == read_json(Path("metrics/c.json"))["seeds"] == 2
    assert set(agreement["maps"]) == {*BACKBONES, "fused"}
    assert set(agreement["maps"]["fused"]) == {"all", *CLASSES}


def main_model(project):
    """A network as stage train_stage2 leaves it, untrained."""
    states = read_states(Path("data/weights"), BACKBONES)
    architecture = Architecture(tuple(BACKBONES), "gated_cross_attention", 16, 2, 0.3, CLASSES)
    save_classifier(Path("models/stage2"), build_classifier(architecture, states, 0), {})
    return Path("models/stage2")


def test_robustness_of_the_main_model_and_of_kept_arms(project):
    set_arms(project, regularisation=[{"arm": "ema_only", "mixup_alpha": 0.0}], seeds=[0])
    set_arms(project, keep_networks={"regularisation": ["proposed", "ema_only"]})
    folders = [ablate("regularisation"), ablate("baselines")]
    model, out = main_model(project), Path("data/robustness")
    places = map(Path, ("data/weights", "data/processed", "data/splits.csv"))
    stage("perturb")(model, *folders, *places, out)
    table = read_csv(out / "predictions.csv")
    rows = 16 * (1 + len(CORRUPTIONS) * len(SEVERITIES))
    assert table.groupby("model").size().to_dict() == dict.fromkeys(("main", "proposed", "ema_only"), rows)
    assert (out / "corruptions.png").stat().st_size > 10_000
    figures = Path("data/figures/robustness")
    stage("robustness")(
        out / "predictions.csv", Path("data/manifest.csv"), Path("metrics/r.json"), Path("r.csv"), figures
    )
    scores = read_json(Path("metrics/r.json"))
    assert scores["n_test"] == 16 and set(scores["models"]) == {"main", "proposed", "ema_only"}
    assert set(scores["models"]["main"]) == {"clean", "mca", "drop", "mean_ece"}
    assert read_scores(Path("r.csv"))["models"]["main"]["clean"]["accuracy"] == scores["models"]["main"]["clean"]
    assert {path.name for path in figures.iterdir()} == {"accuracy.png", "sensitivity.png"}


@pytest.mark.xdist_group("cluster")
def test_answers_to_corruptions_from_a_cluster_are_the_same(project, on_cluster, monkeypatch):
    model, none = main_model(project), Path("data/ablations")
    places = map(Path, ("data/weights", "data/processed", "data/splits.csv"))
    places = (model, none / "regularisation", none / "baselines", *places)
    stage("perturb")(*places, Path("there"))
    monkeypatch.delenv(SCHEDULER)
    stage("perturb")(*places, Path("here"))
    assert Path("there/predictions.csv").read_bytes() == Path("here/predictions.csv").read_bytes()


def test_shortcuts_of_the_main_model(project):
    params = yaml.load(project / "params.yaml")
    params["shortcuts"] = {"train_per_class": 6, "test_per_class": 3, "lesions": 1, "contrast_subjects": 1}
    yaml.dump(params, project / "params.yaml")
    out = Path("data/shortcuts")
    stage("probe_shortcuts")(
        main_model(project), *map(Path, ("data/weights", "data/processed", "data/splits.csv")), out
    )
    assert len(read_csv(out / "views.csv")) == 2 * 4 * 12
    assert len(read_csv(out / "pasted.csv")) == 5 * 3 and len(read_csv(out / "contrasts.csv")) == 4 * 4
    places = map(Path, ("data/manifest.csv", "metrics/s.json", "s.csv", "data/figures/shortcuts"))
    stage("shortcuts")(out, *places)
    scores, shown = read_scores(Path("s.csv")), read_json(Path("metrics/s.json"))
    assert shown["views"]["main"]["whole"] == scores["views"]["main"]["whole"]["accuracy"]
    assert shown["matched"]["all"]["grey_level_auc"] == scores["matched"]["all"]["grey_level_auc"]["value"]
    assert set(scores["views"]) == {"main", "probe"} and len(scores["views"]["probe"]) == 4
    assert set(scores["pasted"]) == {"none", "glioma", "meningioma", "pituitary", "control"}
    assert set(scores["pasted"]["control"]["ci95"]) == {"called_tumor"}
    assert set(scores["contrasts"]) == {"healthy", "with_tumor"} and len(scores["contrasts"]["healthy"]) == 4
    assert scores["matched"]["all"]["n"] == 12 and scores["matched"]["matched"]["n"] % 2 == 0


def test_networks_trained_from_scratch_have_no_weights_file(project):
    set_arms(project, baselines=[{"arm": "attention_cnn", "backbones": ["attention_cnn"], "fusion": "none"}])
    params = yaml.load(project / "params.yaml")
    params["weights"] = {"source": "none", "folder": None}
    yaml.dump(params, project / "params.yaml")
    recipes()
    stage("weights")(Path("data/recipes/backbones.json"), Path("data/drawn"), Path("weights.lock.json"))
    assert sorted(path.stem for path in Path("data/drawn").iterdir()) == sorted(BACKBONES)


def test_the_same_command_gives_the_same_files(project):
    def written():
        folder = ablate()
        return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    first = written()
    assert written() == first and len(first) == 3 + 2 * 2


@pytest.mark.xdist_group("cluster")
def test_a_table_from_a_cluster_is_the_same_though_a_worker_is_killed(project, on_cluster, monkeypatch):
    def written():
        folder = ablate()
        return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    def kill():
        wait_for(lambda: list(Path(".btlib/resume/ablate_fusion").glob("*.safetensors")))
        killed.append(on_cluster.processes()[0])
        killed[0].kill()

    killed = []
    threading.Thread(target=kill).start()
    found = written()
    assert killed and not killed[0].is_running()
    assert not list(Path(".btlib/resume").rglob("*.safetensors"))
    monkeypatch.delenv(SCHEDULER)
    assert written() == found and len(found) == 3 + 2 * 2


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
    assert compare("sensitivity") == {"rows": []}
    outputs = ("metrics/c.json", "data/tables/c.csv", "data/c.csv")
    stage("consistency")(folder, *map(Path, ("data/weights", "data/processed", "data/splits.csv", *outputs)))
    assert read_json(Path("metrics/c.json")) == {"seeds": 0, "maps": {}}


def test_a_diverged_arm_has_a_row_that_says_so(project):
    bad = {"arm": "bad", "focal_alpha": 3e38}  # the loss of a batch is more than fp32 can hold
    set_arms(project, seeds=[0], fusion=[bad])
    folder = ablate()
    failed = read_csv(folder / "runs.csv", text=("failed",)).set_index("arm")["failed"]
    assert "became" in failed["bad"] and failed["proposed"] == ""
    row = compare()["rows"][1]
    assert "became" in row["seeds"][0]["failed"] and row["mean"]["accuracy"] is None
