"""From the pipeline's files to answers on the same images: the same probabilities, thresholds and flags."""

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from ruamel.yaml import YAML

from btlib.app.models.packed_classifier import load_packed
from btlib.app.predict.slice_results import predict_slices
from btlib.core.metrics.calibration import fit_temperature
from btlib.core.metrics.predictions import predictions_table
from btlib.core.runtime.artifacts import read_csv, read_json, write_csv
from btlib.core.runtime.errors import InputError
from btlib.images.data.classes import CLASSES
from btlib.images.data.masks import Masks, write_masks
from btlib.images.data.preprocessing import Clahe, GrayLevels, load_processed
from btlib.images.data.processing import write_processed
from btlib.images.nets.classifier import Architecture, Classifier
from btlib.images.nets.inference import predict
from btlib.images.nets.store import save_classifier
from tests.app.slice_make import write_picture

ROOT = Path(__file__).parents[2]
PARTS = ["train"] * 16 + ["val"] * 12 + ["test"] * 4
LABELS = [CLASSES[number % 4] for number in range(len(PARTS))]
IDS = [f"i{number:02}" for number in range(len(PARTS))]
GROUPS = [number // 3 for number in range(len(PARTS))]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The current folder as the stages before leave it, with an untrained network and params.yaml."""
    monkeypatch.chdir(tmp_path)
    yaml = YAML()
    params = yaml.load(ROOT / "params.yaml")
    params["image_size"] = 32
    params["images"]["clahe"] = {"enabled": True, "clip_limit": 3.0, "tiles": 2}
    params["images"]["white_percentile"] = 99.0
    params["ablations"]["common"]["image_size"] = 32
    params["deploy"] = {"error_rate": 0.8, "novelty_quantile": 0.5}
    yaml.dump(params, tmp_path / "params.yaml")
    for number, name in enumerate(IDS):
        write_picture(tmp_path / f"raw/{name}.png", number)
    manifest = pd.DataFrame(
        {"image_id": IDS, "path": [f"{name}.png" for name in IDS], "label": LABELS, "mask_path": ""}
    )
    write_masks(Path("masks.npz"), {})
    masks = Masks(Path("raw"), Path("masks.npz"))
    write_processed(Path("processed"), Path("raw"), masks, manifest, 32, GrayLevels(99.0, Clahe(True, 3.0, 2)))
    write_csv(Path("manifest.csv"), manifest.assign(group=GROUPS))
    write_csv(Path("splits.csv"), pd.DataFrame({"image_id": IDS, "split": PARTS}))
    torch.manual_seed(1)
    net = Classifier(Architecture(("test_efficientnet",), "none", 16, 2, 0.0, CLASSES)).eval()
    torch.nn.init.normal_(net.linear.weight, std=20.0)
    save_classifier(Path("model"), net, {"stage": "stage2", "history": []})
    write_tables(net)
    return tmp_path


def write_tables(net):
    """The validation and test predictions, as stage evaluate writes them."""
    images, index = load_processed(Path("processed"))
    for part in ("val", "test"):
        rows = np.flatnonzero(np.array(PARTS) == part)
        chosen = index.iloc[rows]
        table = predictions_table(chosen["image_id"], chosen["label"], predict(net, images[rows]), CLASSES)
        write_csv(Path(f"predictions/{part}.csv"), table)


def package():
    spec = importlib.util.spec_from_file_location("package", ROOT / "stages/package_classifier.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main(*map(Path, ("model", "predictions", "processed", "manifest.csv", "splits.csv", "deploy/classifier")))


def columns(table):
    return table[[f"p_{name}" for name in CLASSES]].to_numpy()


def test_prediction_gives_the_tables_probabilities_once_the_temperature_is_taken_off_again(project):
    package()
    files = [project / "raw" / f"{name}.png" for name in IDS[-4:]]
    predict_slices(files, Path("deploy/classifier"), Path("out"))
    table, found = read_csv(Path("predictions/test.csv")), read_csv(Path("out/slices.csv"))
    temperature = read_json(Path("deploy/classifier/card.json"))["calibration"]["temperature"]
    uncalibrated = columns(found) ** temperature
    uncalibrated /= uncalibrated.sum(axis=1, keepdims=True)
    assert uncalibrated == pytest.approx(columns(table), abs=1e-5)
    assert np.ptp(columns(table), axis=0).max() > 0.01  # the images do differ


def test_the_card_holds_what_the_validation_images_say(project):
    package()
    card = load_packed(Path("deploy/classifier")).card
    val = read_csv(Path("predictions/val.csv"))
    truth = np.array([CLASSES.index(label) for label in val["label"]])
    assert card.calibration.temperature == pytest.approx(fit_temperature(columns(val), truth, np.array(GROUPS[16:28])))
    assert card.preprocessing.model_dump() == {
        "image_size": 32,
        "white_percentile": 99.0,
        "clahe": {"enabled": True, "clip_limit": 3.0, "tiles": 2},
    }
    calibrated = columns(val) ** (1 / card.calibration.temperature)
    confidence = (calibrated / calibrated.sum(axis=1, keepdims=True)).max(axis=1)
    kept = confidence >= card.unsure.threshold - 1e-9
    assert (card.unsure.validation_answers, card.unsure.validation_kept) == (12, kept.sum())
    assert card.unsure.validation_errors == (columns(val).argmax(axis=1) != truth)[kept].sum()
    assert kept.sum() > 0 and card.unsure.validation_errors <= 0.8 * kept.sum()
    assert card.data_note == "phantom data" and "not a medical device" in card.intended_use
    assert read_json(Path("deploy/classifier/card.json"))["stage"] == "stage2"


def test_half_of_the_validation_images_are_within_a_limit_of_one_half(project):
    package()
    predict_slices([project / "raw"], Path("deploy/classifier"), Path("out"))
    novelty = read_csv(Path("out/slices.csv"))["novelty"].to_numpy()
    assert (novelty[16:28] < 1).sum() == 6
    assert novelty[:16].mean() < novelty[16:28].mean()  # the training images themselves are the most familiar


def test_two_runs_write_the_same_bytes(project):
    contents = []
    for _ in range(2):
        package()
        contents.append({path.name: path.read_bytes() for path in sorted(Path("deploy/classifier").iterdir())})
    assert contents[0] == contents[1]
    assert list(contents[0]) == ["card.json", "model.safetensors", "novelty.safetensors"]


def test_a_stale_table_stops_the_stage_and_leaves_nothing(project):
    table = read_csv(Path("predictions/val.csv"))
    write_csv(Path("predictions/val.csv"), table.assign(p_glioma=0.9))
    with pytest.raises(InputError, match=r"val\.csv:\n.*not summing to 1"):
        package()
    assert not Path("deploy").exists()
