"""Both stages on a small set of another hospital and a tiny packed network: what they write, and what they refuse."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from ruamel.yaml import YAML

from btlib.app.predict import external as deployed
from btlib.app.predict.external import refuse_without_none
from btlib.app.predict.slice_results import predict_slices
from btlib.app.predict.slices import SlicePredictor
from btlib.core.runtime.artifacts import read_csv, read_json
from btlib.core.runtime.errors import InputError
from btlib.images.data.classes import CLASSES
from btlib.phantom.names import PHANTOM_EXTERNAL
from tests.app.slice_make import picture, write_model, write_picture

ROOT = Path(__file__).parents[2]
SET = {"name": "elsewhere", "root": "hospital", "layout": "tumour_folders", "annotations": "slices.csv"}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model") / "classifier")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The current folder: params.yaml that lists one set, its images with a table, and the training images' folder."""
    monkeypatch.chdir(tmp_path)
    write_params([SET])
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


def predict(model, root="hospital", name="elsewhere"):
    main = runpy.run_path(str(ROOT / "stages/predict_external.py"))["main"]
    main(Path(root), model, Path("raw"), Path("data/external", name))


def evaluate():
    main = runpy.run_path(str(ROOT / "stages/external.py"))["main"]
    main(Path("data/external"), Path("external.json"), Path("figures"))


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
    refuse_without_none(SlicePredictor.load(model), "elsewhere")
    figshare = SimpleNamespace(classes=("glioma", "meningioma", "pituitary"))
    with pytest.raises(InputError, match=r"'elsewhere': the classifier's classes are .*, without 'no_tumor'") as e:
        refuse_without_none(figshare, "elsewhere")
    assert "set `external: []` in params.yaml" in str(e.value)
