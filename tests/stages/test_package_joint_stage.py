"""From the pipeline's stages to answers on the same files: the same probabilities, masks and doubts."""

import importlib.util
import shutil
from functools import reduce
from operator import getitem
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

from btlib.app.models.packed_joint import load_packed
from btlib.app.predict.case_results import predict_cases
from btlib.app.scans.case_files import find_cases
from btlib.core.metrics.calibration import scale
from btlib.core.metrics.score_table import read_scores
from btlib.core.runtime.artifacts import read_csv, read_json, write_csv, write_json
from btlib.core.runtime.errors import InputError
from btlib.volumes.data.conventions import MODALITIES
from btlib.volumes.data.manifest import COLUMNS
from btlib.volumes.data.normalize import normalize
from btlib.volumes.data.reading import read_case
from btlib.volumes.data.store import case_path, load_case, save_case
from btlib.volumes.evaluation.masks import PLAIN
from btlib.volumes.evaluation.tables import PREDICTIONS
from btlib.volumes.nets.network import JointArchitecture, build_joint
from btlib.volumes.nets.store import save_joint
from btlib.volumes.nets.windows import Window
from tests.app.joint_make import TILTED, brain, write_case

ROOT = Path(__file__).parents[2]
SPLITS = ["train"] * 5 + ["val"] * 4 + ["test"] * 2
NAMES = [f"c{number:02}" for number in range(len(SPLITS))]
PHANTOMS = ["p0", "p1", "p2"]
PLACES = ("model", "predictions", "normalized", "splits.csv", "phantoms", "deploy/joint")
NORMALIZATION = {"spacing": 3.0, "clip_percentiles": [0.5, 99.5]}
SETTINGS = {"spacing": 3.0, "percentiles": [0.5, 99.5]}


def stage(name):
    spec = importlib.util.spec_from_file_location(f"{name}_stage", ROOT / f"stages/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Raw cases with segmentations, their manifest and splits, normalised, and params.yaml."""
    folder = tmp_path_factory.mktemp("study")
    yaml = YAML()
    params = yaml.load(ROOT / "params.yaml")
    params["joint"]["mc_samples"] = 2
    params["evaluation"]["bootstrap"] = 100
    yaml.dump(params, folder / "params.yaml")
    rows = []
    for key, name in enumerate(NAMES):
        write_case(folder / "raw" / name, key)
        seg = np.where(brain(key)[1] > 800, 2, 0).astype(np.uint8)
        nib.save(nib.Nifti1Image(seg, TILTED), folder / "raw" / name / "seg.nii.gz")
        paths = {m: f"{name}/{name}_{m}.nii.gz" for m in MODALITIES} | {"seg": f"{name}/seg.nii.gz"}
        grade = "HGG" if key % 2 else "LGG"
        rows.append({"case": name, "patient": name, "grade": grade, **paths, "labels": "canonical"})
    table = pd.DataFrame(rows, columns=COLUMNS)
    write_csv(folder / "manifest.csv", table)
    write_csv(folder / "splits.csv", pd.DataFrame({"case": NAMES, "split": SPLITS}))
    for row in rows:  # as stage normalize_volumes does, without its processes
        images, seg, affine, _ = read_case(folder / "raw", row, resample=False)
        case = normalize(row["case"], images, seg, affine, **SETTINGS)
        save_case(case_path(folder / "normalized", case.name), case)
    index = table[["case", "patient", "grade"]].assign(has_seg=True)
    write_csv(folder / "normalized/index.csv", index)
    write_csv(folder / "phantoms/index.csv", index[:0])
    return folder


@pytest.fixture
def project(study, monkeypatch):
    """The study as the current folder."""
    monkeypatch.chdir(study)
    return study


def train(**architecture):
    """An untrained network with the card of a trained one."""
    plan = {"width": 8, "attention": True, "segmentation": True, "grading": "regions", "dropout": 0.2} | architecture
    card = {"normalisation": NORMALIZATION, "stage": "train_joint", "history": []}
    save_joint(Path("model"), build_joint(JointArchitecture(**plan), 0), Window(16, 16), card)


def package():
    stage("package_joint").main(*map(Path, PLACES))
    return read_json(Path("deploy/joint/card.json"))


def set_param(key, value):
    yaml = YAML()
    params = yaml.load(Path("params.yaml"))
    *sections, last = key
    reduce(getitem, sections, params)[last] = value
    yaml.dump(params, Path("params.yaml"))


@pytest.mark.parametrize("postprocess", [False, True])
def test_prediction_gives_what_the_pipeline_evaluated(project, postprocess, tmp_path):
    train()
    set_param(("joint", "postprocess"), postprocess)
    inputs = ("model", "normalized", "splits.csv", "raw", "manifest.csv")
    stage("evaluate_joint").main(*map(Path, (*inputs, "predictions", "masks", "metrics.json", "scores.csv", "figures")))
    card, out = package(), tmp_path / "out"
    assert predict_cases(find_cases([project / "raw" / name for name in NAMES[-2:]]), Path("deploy/joint"), out) == 2
    assert card["postprocessing"] == read_json(Path("predictions/postprocessing.json"))
    assert (card["postprocessing"] != PLAIN.model_dump()) == postprocess
    assert read_json(out / "cases.json")["model"]["postprocessing"] == card["postprocessing"]
    found = read_csv(out / "cases.csv", text=("case",)).set_index("case")
    table = read_csv(Path("predictions/test.csv"), text=("case",)).set_index("case")
    probabilities = ["p_LGG", "p_HGG"]
    expected = scale(table[probabilities].to_numpy(), card["calibration"]["temperature"])
    assert list(found.index) == list(table.index) == NAMES[-2:]
    np.testing.assert_allclose(found[probabilities], expected, atol=1e-6)
    outlines = read_csv(Path("predictions/segmentation.csv"), text=("case", "region")).set_index(["case", "region"])
    for name in NAMES[-2:]:
        masks = [nib.load(path) for path in (f"masks/{name}.nii.gz", out / name / "seg.nii.gz")]
        np.testing.assert_array_equal(masks[0].get_fdata(), masks[1].get_fdata())
        np.testing.assert_array_equal(masks[0].affine, masks[1].affine)
        for region in ("wt", "tc", "et"):
            assert found.loc[name, f"volume_{region}_ml"] == pytest.approx(
                outlines.loc[(name, region), "predicted_ml"], abs=1e-3
            )


def test_what_post_processing_changes_is_reported(project):
    """Of the network without training, chosen on four cases: it cannot lower their Dice."""
    train()
    set_param(("joint", "postprocess"), True)
    inputs = ("model", "normalized", "splits.csv", "raw", "manifest.csv")
    stage("evaluate_joint").main(*map(Path, (*inputs, "predictions", "masks", "metrics.json", "scores.csv", "figures")))
    scores = read_json(Path("metrics.json"))
    found, regions = scores["postprocessing"], ("dice_wt", "dice_tc", "dice_et")
    assert found["rules"] == read_json(Path("predictions/postprocessing.json"))
    assert (found["val"]["n"], found["test"]["n"]) == (4, 2)
    means = {when: np.mean([found["val"][when][name] for name in regions]) for when in ("raw", "postprocessed")}
    assert means["postprocessed"] > means["raw"]
    validation = read_csv(Path("predictions/validation_dice.csv"), text=("case", "region"))
    assert sorted(validation["case"].unique()) == NAMES[5:9]
    assert validation["dice"].mean() == pytest.approx(means["postprocessed"])
    assert {name: scores[name] for name in regions} == pytest.approx(found["test"]["postprocessed"])
    assert read_scores(Path("scores.csv"))["postprocessing"] == found


def val_table(p_hgg, grades=("LGG", "HGG", "LGG", "HGG")):
    p = np.array(p_hgg, float)
    table = pd.DataFrame({"case": NAMES[5:9], "patient": NAMES[5:9], "grade": grades, "p_LGG": 1 - p, "p_HGG": p})
    write_csv(Path("predictions/val.csv"), table[PREDICTIONS])
    write_json(Path("predictions/postprocessing.json"), PLAIN.model_dump())


def test_the_card_says_what_was_chosen_on_the_validation_cases(project):
    train()
    val_table([0.1, 0.8, 0.6, 0.95])  # the third is wrong, and the least confident
    card = package()
    temperature = card["calibration"]["temperature"]
    assert card["unsure"] == {
        "error_rate": 0.05,
        "threshold": pytest.approx(scale(np.array([[0.2, 0.8]]), temperature).max()),
        "validation_answers": 4,
        "validation_kept": 3,
        "validation_errors": 0,
    }
    assert card["preprocessing"] == NORMALIZATION and "normalisation" not in card
    assert (card["stage"], card["data_note"]) == ("train_joint", "phantom data")
    assert card["mc_dropout"] == {"samples": 2, "seed": 0} and card["novelty"]["quantile"] == 0.99
    assert "not a medical device" in card["intended_use"]


@pytest.mark.parametrize(
    ("share", "seen"),
    [(0.0, NAMES[:5]), (0.5, [*NAMES[:5], *PHANTOMS]), (1.0, PHANTOMS)],
)
def test_novelty_is_measured_from_what_was_trained_on(study, share, seen, tmp_path, monkeypatch):
    shutil.copytree(study, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    train()
    val_table([0.1, 0.8, 0.6, 0.95])
    set_param(("volumes", "phantom", "share"), share)
    made = pd.DataFrame({"case": PHANTOMS, "patient": PHANTOMS, "grade": ["LGG", "HGG", "LGG"], "has_seg": True})
    write_csv(Path("phantoms/index.csv"), made)
    for name, like in zip(PHANTOMS, NAMES, strict=False):
        save_case(case_path(Path("phantoms"), name), load_case(Path("normalized"), like)._replace(name=name))
    module, used = stage("package_joint"), []
    features = module.encoder_features
    monkeypatch.setattr(
        module, "encoder_features", lambda net, case, at: used.append(case.name) or features(net, case, at)
    )
    module.main(*map(Path, PLACES))
    assert used == [*seen, *NAMES[5:9]]


def test_cases_without_a_grade_do_not_count(project):
    train()
    val_table([0.1, 0.8, 0.6, 0.95], grades=("LGG", "HGG", "", "HGG"))
    assert package()["unsure"]["validation_answers"] == 3
    val_table([0.1, 0.8, 0.6, 0.95], grades=("",) * 4)
    with pytest.raises(InputError, match=r"val\.csv: no graded case, so the probabilities cannot be calibrated"):
        package()


def test_a_network_that_does_not_grade_needs_no_temperature(project):
    train(grading="none")
    val_table([np.nan] * 4)
    card = package()
    assert card["calibration"] is None and card["unsure"] is None
    assert load_packed(Path("deploy/joint")).card.unsure is None


def test_packing_again_gives_the_same_files(project):
    train(segmentation=False, attention=False, grading="global")
    val_table([0.1, 0.8, 0.6, 0.95])
    package()
    first = {path.name: path.read_bytes() for path in Path("deploy/joint").iterdir()}
    package()
    assert set(first) == {"card.json", "model.safetensors", "novelty.safetensors"}
    assert first == {path.name: path.read_bytes() for path in Path("deploy/joint").iterdir()}
