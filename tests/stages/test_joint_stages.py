"""The stages of the 3D study, one after the other on twenty tiny cases."""

import contextlib
import importlib.util
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

from btlib.core.metrics.score_table import read_scores
from btlib.core.runtime.artifacts import read_csv, read_json
from btlib.core.runtime.mask_rules import Postprocessing
from btlib.core.runtime.workers import SCHEDULER
from btlib.volumes.data.conventions import MODALITIES

ROOT = Path(__file__).parents[2]
CASES, SIDE = 20, 18
DATA = ("volumes/normalized", "volumes/splits.csv", "volumes/phantom_cases")
yaml = YAML()


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """All stages up to the trained network, run once."""
    folder = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        set_params(folder)
        for number in range(CASES):
            write_case(folder / "raw", number)
        grades = ["HGG" if number % 2 else "LGG" for number in range(CASES)]
        table = pd.DataFrame({"Grade": grades, "BraTS_2020_subject_ID": [f"BraTS20_{n:03}" for n in range(CASES)]})
        table.to_csv(folder / "raw/name_mapping.csv", index=False)
        stage("ingest_volumes")(Path("raw"), Path("volumes/manifest.csv"))
        stage("split_volumes")(*map(Path, ("volumes/manifest.csv", "volumes/splits.csv", "metrics/split.json")))
        stage("normalize_volumes")(*map(Path, ("raw", "volumes/manifest.csv", "volumes/normalized")))
        patch.setattr("btlib.phantom.atlas.load_atlas", lambda: None)  # no phantoms are made
        stage("check")(Path("params.yaml"), Path("params.checked"), Path("recipes"))
        stage("phantom_cases")(Path("recipes/phantom_cases.json"), Path(DATA[-1]))
        stage("train_joint")(*map(Path, (*DATA, "models/joint", "curves")))
        evaluate()
    return folder


@pytest.fixture
def study(project, monkeypatch):
    monkeypatch.chdir(project)
    return project


def set_params(folder):
    params = yaml.load(ROOT / "params.yaml")
    params["volumes"] |= {"spacing": 2.0, "held_out": 0.5}
    params["joint"] |= {"size": 16, "width": 8, "epochs": 1, "coarse_epochs": 0, "mc_samples": 2, "explained_cases": 2}
    params["joint"]["postprocess"] = True
    params["joint"]["ablation"] |= {"seeds": [0, 1], "common": {"epochs": 1}}
    params["evaluation"]["bootstrap"] = 100
    yaml.dump(params, folder / "params.yaml")


def write_case(root, number):
    """A box of brain with a ball in it; the ball of a high grade enhances inside."""
    rng = np.random.default_rng(number)
    place = np.indices((SIDE,) * 3) - rng.uniform(7, 10, 3)[:, None, None, None]
    distance = np.sqrt((place**2).sum(0))
    brain = np.zeros((SIDE,) * 3, bool)
    brain[2:-2, 2:-2, 2:-2] = True
    labels = np.where(distance < 4, 2, 0)
    labels[distance < 2.5] = 4 if number % 2 else 1
    name = f"BraTS20_{number:03}"
    (root / name).mkdir(parents=True)
    affine = np.diag([-2.0, -2.0, 2.0, 1.0])
    for modality in MODALITIES:
        image = (rng.normal(500, 50, labels.shape) + 100 * labels) * brain
        nib.save(nib.Nifti1Image(image.astype(np.int16), affine), root / name / f"{name}_{modality}.nii.gz")
    nib.save(nib.Nifti1Image(labels.astype(np.uint8), affine), root / name / f"{name}_seg.nii.gz")


def stage(name):
    spec = importlib.util.spec_from_file_location(f"{name}_stage", ROOT / f"stages/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


def evaluate():
    inputs = ("models/joint", "volumes/normalized", "volumes/splits.csv", "raw", "volumes/manifest.csv")
    outputs = ("joint/predictions", "joint/masks", "metrics/joint3d.json", "tables/joint3d.csv", "figures/evaluate")
    stage("evaluate_joint")(*map(Path, inputs + outputs))


CONTRACT = {
    "dice_wt",
    "dice_tc",
    "dice_et",
    "hd95_wt",
    "hd95_tc",
    "hd95_et",
    "grade_accuracy",
    "grade_auc",
    "grade_ece",
    "uncertainty_error_auroc",
}


def test_metrics_of_the_contract_with_intervals(study):
    scores = read_json(Path("metrics/joint3d.json"))
    assert scores.keys() >= CONTRACT
    assert scores["ci95"].keys() >= CONTRACT
    assert scores["n_test"] == scores["n_segmented"] == scores["n_graded"] == len(held_out())
    for name in CONTRACT - {"hd95_wt", "hd95_tc", "hd95_et"}:
        assert 0 <= scores[name] <= 1
        low, high = scores["ci95"][name]
        assert low <= high


def held_out():
    table = read_csv(Path("volumes/splits.csv"), text=("case", "split"))
    return sorted(table["case"][table["split"] == "test"])


def test_masks_lie_on_the_input_grid(study):
    assert sorted(path.name for path in Path("joint/masks").iterdir()) == [f"{case}.nii.gz" for case in held_out()]
    case = held_out()[0]
    mask, source = nib.load(f"joint/masks/{case}.nii.gz"), nib.load(f"raw/{case}/{case}_t1.nii.gz")
    assert mask.shape == source.shape
    np.testing.assert_array_equal(mask.affine, source.affine)
    assert set(np.unique(np.asarray(mask.dataobj))) <= {0, 1, 2, 3}


def test_dice_of_the_table_is_that_of_the_written_masks(study):
    table = read_csv(Path("joint/predictions/segmentation.csv"), text=("case", "region"))
    for row in table[table["region"] == "wt"].itertuples():
        said = np.asarray(nib.load(f"joint/masks/{row.case}.nii.gz").dataobj) > 0
        true = np.asarray(nib.load(f"raw/{row.case}/{row.case}_seg.nii.gz").dataobj) > 0
        assert row.dice == pytest.approx(2 * (said & true).sum() / (said.sum() + true.sum()))


def test_stated_rules_are_used_instead_of_chosen_ones(study, tmp_path):
    """In a copy, since the other tests read what the study's own evaluation wrote."""
    shutil.copytree(study, tmp_path / "copy")
    with contextlib.chdir(tmp_path / "copy"):
        params = yaml.load(Path("params.yaml"))
        stated = {"smallest_lesion": 0.1, "wt": {"threshold": 0.2}}
        params["joint"]["postprocess"] = stated
        yaml.dump(params, Path("params.yaml"))
        evaluate()
        assert read_json(Path("joint/predictions/postprocessing.json")) == Postprocessing(**stated).model_dump()
        table = read_csv(Path("joint/predictions/validation_dice.csv"), text=("case", "region"))
        assert len(table) and (table["dice"] != table["dice_raw"]).any()


def test_predictions_are_probabilities_of_every_held_out_case(study):
    for part in ("val", "test"):
        table = read_csv(Path(f"joint/predictions/{part}.csv"), text=("case", "patient", "grade"))
        np.testing.assert_allclose(table["p_LGG"] + table["p_HGG"], 1)
    assert sorted(table["case"]) == held_out()


def test_explanations_are_written_for_the_chosen_cases(study):
    inputs = ("models/joint", "volumes/normalized", "joint/predictions")
    stage("explain_joint")(
        *map(Path, (*inputs, "joint/maps", "metrics/explain_joint.json", "explain.csv", "figures/explain"))
    )
    explained = sorted(path.name for path in Path("joint/maps").iterdir())
    assert len(explained) == 2
    assert set(explained) <= set(held_out())
    assert len(list(Path("figures/explain").glob("*.png"))) == 2
    heat = nib.load(next(iter(sorted(Path(f"joint/maps/{explained[0]}").glob("*gradcam*")))))
    assert heat.shape == (SIDE,) * 3


def test_ablation_and_comparison(study):
    stage("ablate_joint")(*map(Path, ("recipes/joint.json", *DATA, "ablations")))
    scores = read_csv(Path("ablations/cases.csv"), text=("arm", "case", "patient", "grade"))
    alone = ["grading_only", "radiomics", "resnet10"]
    arms = ["full", "segmentation_only", "grading_only", "no_attention", "global_features", "radiomics", "resnet10"]
    arms.append("no_modality_dropout")
    assert scores.groupby(["arm", "seed"]).size().to_dict() == {(a, s): len(held_out()) for a in arms for s in (0, 1)}
    assert scores["p_HGG"].isna().groupby(scores["arm"]).all().to_dict() == {a: a == "segmentation_only" for a in arms}
    assert scores["dice_wt"].isna().groupby(scores["arm"]).all().to_dict() == {a: a in alone for a in arms}
    assert sorted(scores["case"].unique()) == held_out()
    modalities = read_csv(Path("ablations/modalities.csv"), text=("arm", "subset", "case", "patient", "grade"))
    assert modalities.groupby("arm")["subset"].nunique().to_dict() == {"full": 15, "no_modality_dropout": 15}
    whole = modalities[modalities["subset"] == "t1+t1ce+t2+flair"].sort_values(["arm", "seed", "case"])
    same = scores[scores["arm"].isin(["full", "no_modality_dropout"])].sort_values(["arm", "seed", "case"])
    np.testing.assert_array_equal(whole["p_HGG"], same["p_HGG"])
    stage("compare_joint")(
        *map(Path, ("ablations", "metrics/ablation_joint.json", "tables/ablation_joint.csv", "figures/ablation"))
    )
    found = read_json(Path("metrics/ablation_joint.json"))
    assert [row["arm"] for row in found["rows"]] == arms
    assert set(found["uncertainty"]) >= {"softmax_entropy", "mc_entropy", "ensemble_entropy"}
    every = read_scores(Path("tables/ablation_joint.csv"))
    assert [row["mean"]["dice_wt"] for row in every["rows"]] == [row["mean"]["dice_wt"] for row in found["rows"]]
    assert len(every["missing_modalities"]["rows"]) == 30
    assert Path("figures/ablation/forest.png").is_file()


@pytest.mark.xdist_group("cluster")
def test_the_ablation_from_a_cluster_is_the_same(on_cluster, study, monkeypatch):
    def written(folder):
        stage("ablate_joint")(Path("recipes/joint.json"), *map(Path, DATA), folder)
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    there = written(Path("ablation_there"))
    monkeypatch.delenv(SCHEDULER)
    assert written(Path("ablation_here")) == there and len(there) == 6


def test_training_again_gives_the_same_model(study):
    stage("train_joint")(*map(Path, (*DATA, "models/again", "curves_again")))
    first, again = (Path(f"models/{name}/model.safetensors").read_bytes() for name in ("joint", "again"))
    assert first == again
    card = read_json(Path("models/joint/card.json"))
    assert card["window"] == {"roi_size": 16, "size": 16}
    assert card["normalisation"] == {"clip_percentiles": [0.5, 99.5], "spacing": 2.0}
