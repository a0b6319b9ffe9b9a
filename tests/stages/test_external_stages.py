"""The stages on a small set of another hospital and tiny networks: what they write, and what they refuse."""

import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from ruamel.yaml import YAML

from btlib.app.predict import external as deployed
from btlib.app.predict.slice_results import predict_slices
from btlib.app.predict.slices import SlicePredictor
from btlib.core.runtime.artifacts import read_csv, read_json, write_csv
from btlib.core.runtime.errors import InputError
from btlib.images.data.classes import CLASSES
from btlib.images.data.external import refuse_without_none
from btlib.images.data.preprocessing import Clahe, GrayLevels, preprocess, shrink
from btlib.images.nets.classifier import Architecture, Classifier
from btlib.images.nets.inference import predict as probabilities_of
from btlib.images.nets.store import save_trained
from btlib.phantom.names import PHANTOM_EXTERNAL
from tests.app.slice_make import picture, write_model, write_picture

ROOT = Path(__file__).parents[2]
SET = {"name": "elsewhere", "root": "hospital", "layout": "tumour_folders", "annotations": "slices.csv"}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model") / "classifier")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The current folder: params.yaml that lists one set, its images with a table, and the training images' folder.

    The ablation is switched off.
    """
    monkeypatch.chdir(tmp_path)
    write_params([SET])
    keep_networks({})
    rows = []
    for number in range(6):
        kind = "tumour" if number % 2 else "none"
        path = f"{kind}/{number}.png"
        write_picture(Path("hospital", path), number)
        rows.append({"path": path, "patient": f"SECRET-{number // 2}", "mask_path": ""})
    mask = np.zeros(picture(1).shape[:2], np.uint8)
    mask[10:20, 10:20] = 255
    Path("hospital/masks").mkdir()
    for number in (1, 3, 5):
        Image.fromarray(mask).save(f"hospital/masks/{number}.png")
        rows[number]["mask_path"] = f"masks/{number}.png"
    pd.DataFrame(rows).to_csv("hospital/slices.csv", index=False)
    write_picture(Path("raw/glioma/0.png"))
    return tmp_path


def write_params(sets, source="folder"):
    yaml = YAML()
    params = yaml.load(ROOT / "params.yaml")
    params["external"], params["images"]["source"] = sets, source
    params["evaluation"]["bootstrap"] = 100
    yaml.dump(params, Path("params.yaml"))


def keep_networks(arms, size=32, classes=CLASSES):
    """Writes an ablation folder as stage ablate does; arms: name -> untrained networks, which are returned too.

    The last seed of each arm diverged. The set's images are seen at `size` pixels.
    """
    nets, runs = {}, []
    for number, (arm, seeds) in enumerate(arms.items()):
        for seed in range(seeds):
            torch.manual_seed(10 * number + seed)
            net = Classifier(Architecture(("attention_cnn",), "none", 16, 2, 0.0, classes))
            card = {"arm": arm, "seed": seed, "recipe": {"image_size": size}}
            save_trained(Path("lesion/networks", arm, str(seed)), net, {}, card)
            nets[arm, seed] = net
        runs += [(arm, seed, "diverged" if seed == seeds else "") for seed in range(seeds + 1)]
    write_csv(Path("lesion/runs.csv"), pd.DataFrame(runs, columns=["arm", "seed", "failed"]))
    return nets


def predict(model, root="hospital", name="elsewhere"):
    main = runpy.run_path(str(ROOT / "stages/predict_external.py"))["main"]
    main(Path(root), model, Path("raw"), Path("data/external", name))
    predict_arms(root, name)


def predict_arms(root="hospital", name="elsewhere"):
    main = runpy.run_path(str(ROOT / "stages/predict_external_arms.py"))["main"]
    main(Path(root), Path("lesion"), Path("weights"), Path("raw"), Path("data/external_arms", name))
    return read_csv(Path("data/external_arms", name, "predictions.csv"), text=("path", "label", "patient"))


def evaluate():
    main = runpy.run_path(str(ROOT / "stages/external.py"))["main"]
    main(Path("data/external"), Path("data/external_arms"), Path("external.json"), Path("figures"))


def test_from_images_to_scores_and_figures(project, model):
    predict(model)
    table = read_csv(Path("data/external/elsewhere/predictions.csv"), text=("patient",))
    columns = ["path", "label", "patient", *(f"p_{name}" for name in CLASSES), "confidence", "unsure", "unfamiliar"]
    assert list(table.columns) == columns
    assert table.path.tolist() == [f"none/{n}.png" for n in (0, 2, 4)] + [f"tumour/{n}.png" for n in (1, 3, 5)]
    assert table.patient.tolist() == ["SECRET-0", "SECRET-1", "SECRET-2"] * 2
    assert table.label.tolist() == ["no_tumor"] * 3 + ["tumor"] * 3
    assert Image.open("data/external/elsewhere/worst.png").width > 300  # an untrained network errs
    evaluate()
    scores = read_json(Path("external.json"))["sets"]["elsewhere"]
    assert (scores["n"], scores["patients"], scores["patients_with_both"]) == (6, 3, 3)
    assert "arms" not in scores
    assert 0 <= scores["auc_within_patients"] <= 1 and len(scores["ci95"]["auc"]) == 2
    assert sorted(path.name for path in Path("figures").iterdir()) == ["elsewhere_worst.png", "external.png"]
    assert Path("figures/elsewhere_worst.png").read_bytes() == Path("data/external/elsewhere/worst.png").read_bytes()
    before = Path("external.json").read_bytes()
    evaluate()
    assert Path("external.json").read_bytes() == before


def test_the_answers_are_those_of_btlib_predict_whatever_the_batches(project, model, monkeypatch):
    monkeypatch.setattr(deployed, "BATCH_PIXELS", 4000)  # two pictures
    predict(model)
    table = read_csv(Path("data/external/elsewhere/predictions.csv"))
    predict_slices([Path("hospital/none"), Path("hospital/tumour")], model, Path("answers"))
    expected = read_csv(Path("answers/slices.csv"))
    assert table.path.tolist() == [Path(path).relative_to("hospital").as_posix() for path in expected.path]
    columns = [f"p_{name}" for name in CLASSES]
    np.testing.assert_allclose(table[columns], expected[columns], atol=1e-6)
    assert table.unsure.tolist() == expected.unsure.tolist()


def test_one_kind_of_image_only_is_said_and_no_crash(project, model):
    write_params([SET | {"annotations": None, "root": "healthy"}])
    write_picture(Path("healthy/normal/0.png"))
    predict(model, "healthy")
    evaluate()
    scores = read_json(Path("external.json"))["sets"]["elsewhere"]
    assert scores["auc"] is None and scores["undefined"]["auc"] == "the set has no image with a tumour"
    assert Path("figures/external.png").is_file()


def test_a_set_without_errors_has_no_picture_of_them(project, model, monkeypatch):
    monkeypatch.setattr(deployed, "worst_rows", lambda table, classes: {"missed": [], "alarms": []})
    predict(model)
    evaluate()
    assert [path.name for path in Path("data/external/elsewhere").iterdir()] == ["predictions.csv"]
    assert [path.name for path in Path("figures").iterdir()] == ["external.png"]


def test_the_phantom_set_is_left_out_beside_real_images(project, capsys):
    write_params([SET | {"root": PHANTOM_EXTERNAL}])
    predict(Path("no model is needed"), PHANTOM_EXTERNAL)
    assert "the phantom set is left out" in capsys.readouterr().out
    assert read_csv(Path("data/external/elsewhere/predictions.csv")).empty
    evaluate()
    assert read_json(Path("external.json")) == {"sets": {}}
    assert list(Path("figures").iterdir()) == []


def test_beside_phantom_images_it_is_tried(project, model):
    write_params([SET | {"root": PHANTOM_EXTERNAL}], source="phantom")
    Path(PHANTOM_EXTERNAL).parent.mkdir(parents=True)
    Path("hospital").rename(PHANTOM_EXTERNAL)
    predict(model, PHANTOM_EXTERNAL)
    assert len(read_csv(Path("data/external/elsewhere/predictions.csv"))) == 6


def test_without_sets(project):
    write_params([])
    evaluate()
    assert read_json(Path("external.json")) == {"sets": {}}
    assert list(Path("figures").iterdir()) == []


def test_what_an_earlier_list_left_is_not_read(project, model):
    predict(model)
    write_params([])
    evaluate()
    assert read_json(Path("external.json")) == {"sets": {}}


def test_faults_leave_nothing_behind(project, model):
    with pytest.raises(InputError, match=r"external: no set 'other' in params\.yaml; listed are elsewhere"):
        predict(model, name="other")
    with pytest.raises(InputError, match=r"raw is images\.root"):
        predict(model, root="raw")
    write_picture(Path("hospital/lost/9.png"))
    with pytest.raises(InputError, match="unknown folder 'lost' with 1 image"):
        predict(model)
    assert not Path("data").exists()
    with pytest.raises(InputError, match=r"predictions\.csv: no such file; run `dvc repro`"):
        evaluate()


def test_a_network_that_knows_only_tumors_is_refused(model):
    refuse_without_none(SlicePredictor.load(model).classes, "elsewhere")
    with pytest.raises(InputError, match=r"'elsewhere': the classifier's classes are .*, without 'no_tumor'") as e:
        refuse_without_none(("glioma", "meningioma", "pituitary"), "elsewhere")
    assert "set `external: []` in params.yaml" in str(e.value)


def test_kept_arms_are_predicted_at_their_own_size_and_scored_in_the_table_s_order(project, model):
    nets = keep_networks({"proposed": 2, "untied": 2, "no_framing": 1, "bad": 0}, size=32)
    predict(model)
    table = predict_arms()
    assert list(table.columns) == ["arm", "seed", "path", "label", "patient", *(f"p_{name}" for name in CLASSES)]
    assert table.groupby(["arm", "seed"], sort=False).size().to_dict() == dict.fromkeys(nets, 6)
    settings = GrayLevels(None, Clahe(enabled=True, clip_limit=2.0, tiles=8))
    large = [preprocess(picture(number), 96, settings) for number in (0, 2, 4, 1, 3, 5)]
    for (arm, seed), net in nets.items():
        own = table[(table.arm == arm) & (table.seed == seed)]
        assert own.path.tolist() == [f"none/{n}.png" for n in (0, 2, 4)] + [f"tumour/{n}.png" for n in (1, 3, 5)]
        assert own.patient.tolist() == ["SECRET-0", "SECRET-1", "SECRET-2"] * 2
        expected = probabilities_of(net, shrink(np.stack(large), 32))
        np.testing.assert_allclose(own.filter(like="p_"), expected, rtol=1e-5)
    evaluate()
    arms = read_json(Path("external.json"))["sets"]["elsewhere"]["arms"]
    assert [(row["arm"], row["seeds"]) for row in arms] == [
        ("proposed", [0, 1]),
        ("untied", [0, 1]),
        ("no_framing", [0]),
    ]
    assert arms[0]["difference"] is None
    for row in arms[1:]:
        expected = row["auc_within_patients"] - arms[0]["auc_within_patients"]
        assert row["difference"]["value"] == pytest.approx(expected) and len(row["difference"]["ci95"]) == 2
    before = Path("external.json").read_bytes()
    evaluate()
    assert Path("external.json").read_bytes() == before


def test_arms_are_not_predicted_for_a_set_that_is_left_out(project):
    keep_networks({"proposed": 1})
    write_params([SET | {"root": PHANTOM_EXTERNAL}])
    assert predict_arms(PHANTOM_EXTERNAL).empty


def test_without_kept_networks_no_image_is_read(project):
    assert predict_arms("no such folder").empty


def test_faults_of_arms_leave_nothing_behind(project):
    keep_networks({"proposed": 1}, classes=("glioma", "meningioma", "pituitary"))
    with pytest.raises(InputError, match=r"external: no set 'other' in params\.yaml; listed are elsewhere"):
        predict_arms(name="other")
    with pytest.raises(InputError, match=r"raw is images\.root"):
        predict_arms(root="raw")
    with pytest.raises(InputError, match=r"external 'elsewhere': the classifier's classes are .*, without 'no_tumor'"):
        predict_arms()
    assert not Path("data").exists()
