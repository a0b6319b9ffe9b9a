"""ONNX against PyTorch, at other batch sizes than the traced one, and refusal of differing graphs."""

import json

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from btlib.app import export
from btlib.app.export import Exported, export_models, largest_difference, of_joint
from btlib.app.models.packed_joint import load_packed
from btlib.app.predict.slices import SlicePredictor
from btlib.core.runtime.artifacts import read_json
from btlib.core.runtime.errors import InputError
from btlib.images.data.classes import CLASSES
from btlib.images.data.preprocessing import preprocess
from btlib.images.nets.features import see
from btlib.volumes.data.store import Case
from btlib.volumes.nets.inference import predict_case
from tests.app import joint_make
from tests.app.slice_make import LEVELS, SIZE, as_batch, packed_classifier, picture, write_model


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Exports both models once: the folder with models/ and out/, and the differences."""
    root = tmp_path_factory.mktemp("export")
    write_model(root / "models/classifier")
    joint_make.write_model(root / "models/joint", attention=False, grading="global")  # less to trace
    return root, export_models(root / "models", root / "out")


def test_files_and_differences(written):
    root, differences = written
    assert sorted(path.name for path in (root / "out").iterdir()) == [
        "classifier.json",
        "classifier.onnx",
        "joint.json",
        "joint.onnx",
    ]
    assert [path.name for path in differences] == ["classifier.onnx", "joint.onnx"]
    assert all(difference < 1e-5 for difference in differences.values())


@pytest.fixture(scope="module")
def outlining(tmp_path_factory):
    """An exported classifier whose answer is tied to its lesion map."""
    root = tmp_path_factory.mktemp("outlining")
    write_model(root / "models/classifier", lesion=True, tied=True)
    return root, export_models(root / "models", root / "out")


@pytest.fixture(scope="module")
def voting(tmp_path_factory):
    """An exported classifier with late fusion and flip test-time augmentation."""
    root = tmp_path_factory.mktemp("voting")
    write_model(root / "models/classifier", fusion="none", flip_tta=True)
    return root, export_models(root / "models", root / "out")


@pytest.mark.parametrize("fixture", ["written", "voting", "outlining"])
def test_onnx_classifier_matches_btlib_predict(fixture, request):
    root, _ = request.getfixturevalue(fixture)
    images = [picture(seed) for seed in range(4)] + [np.uint8(255 - picture(9))]
    squares = np.stack([preprocess(image, SIZE, LEVELS) for image in images])
    session = onnxruntime.InferenceSession(root / "out/classifier.onnx", providers=["CPUExecutionProvider"])
    probabilities, novelty = session.run(["probabilities", "novelty"], {"images": squares})
    answers = SlicePredictor.load(root / "models/classifier").answer(images, heat=False)
    expected = [[answer.probabilities[name] for name in CLASSES] for answer in answers]
    assert probabilities == pytest.approx(np.array(expected), abs=1e-5)
    assert novelty == pytest.approx([answer.novelty for answer in answers], rel=1e-3)


def test_onnx_lesion_map_is_the_networks(outlining):
    root, differences = outlining
    assert max(differences.values()) < 1e-5
    packed = packed_classifier(lesion=True, tied=True)
    squares = np.stack([preprocess(picture(seed), SIZE, LEVELS) for seed in range(4)])
    session = onnxruntime.InferenceSession(root / "out/classifier.onnx", providers=["CPUExecutionProvider"])
    (lesion,) = session.run(["lesion"], {"images": squares})
    assert lesion == pytest.approx(see(packed.net, as_batch(squares)).lesion.sigmoid().numpy(), abs=1e-5)
    assert lesion.min() < 0.5 < lesion.max()
    assert set(read_json(root / "out/classifier.json")["outputs"]) == {"probabilities", "novelty", "lesion"}


def test_constants_are_in_json_and_metadata(written):
    root, _ = written
    said = read_json(root / "out/classifier.json")
    assert said["preprocessing"] == {
        "image_size": 32,
        "white_percentile": None,
        "clahe": {"enabled": True, "clip_limit": 2.0, "tiles": 4},
    }
    assert said["classes"] == list(CLASSES) and said["calibration"] == {"temperature": 2.0}
    assert said["unsure"]["threshold"] == 0.3 and said["data_note"] == "phantom data"
    assert set(said["outputs"]) == {"probabilities", "novelty"}
    model = onnx.load(root / "out/classifier.onnx")
    inside = {entry.key: entry.value for entry in model.metadata_props}
    assert {name: value if isinstance(said[name], str) else json.loads(value) for name, value in inside.items()} == said
    joint = read_json(root / "out/joint.json")
    assert "spacing" in joint["preprocessing"] and joint["postprocessing"]["et"]["threshold"] == 0.5


def test_onnx_joint_network_matches_the_pipeline_on_a_window(written):
    """For a case of one window: regions and calibrated grade of `predict_case`."""
    root, _ = written
    packed = load_packed(root / "models/joint")
    roi_size, size = packed.window
    assert roi_size == size, "this test's window is not shrunk"
    cube = np.random.default_rng(0).standard_normal((4, size, size, size)).astype(np.float32)
    case = Case("c", cube, None, np.eye(4), np.eye(4), (size,) * 3)
    expected = predict_case(packed.net, case, packed.window)
    session = onnxruntime.InferenceSession(root / "out/joint.onnx", providers=["CPUExecutionProvider"])
    regions, grade = session.run(["regions", "grade"], {"cubes": cube[None]})
    assert regions[0] == pytest.approx(expected.regions, abs=1e-4)
    scaled = expected.grade ** (1 / packed.card.calibration.temperature)
    assert grade[0] == pytest.approx(scaled / scaled.sum(), abs=1e-4)


def test_missing_model_is_left_out_but_none_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "write_onnx", lambda path, model: 0.0)
    write_model(tmp_path / "models/classifier")
    assert [path.name for path in export_models(tmp_path / "models", tmp_path)] == ["classifier.onnx"]
    with pytest.raises(InputError, match="no model folder 'classifier' or 'joint'; `dvc repro package_classifier"):
        export_models(tmp_path / "empty", tmp_path)


class Scaled(torch.nn.Module):
    """Multiplies its input by ten."""

    def forward(self, values):
        return (values * 10,)


def test_differing_graph_is_not_written(tmp_path, monkeypatch):
    model = Exported(Scaled(), torch.ones(3, 2), "values", ("out",), {"input": "numbers"})
    content = export._traced(model)
    assert largest_difference(content, model) == 0
    model.graph.forward = lambda values: (values * 10.01,)
    assert largest_difference(content, model) == pytest.approx(0.01 / 10.01, rel=1e-3)  # relative, above 1
    model.graph.forward = lambda values: (values * torch.nan,)
    assert not largest_difference(content, model) <= export.MAX_DIFFERENCE
    monkeypatch.setattr(export, "largest_difference", lambda *_: 2e-4)
    with pytest.raises(InputError, match=r"x\.onnx: not written: .* differs from PyTorch by 2\.0e-04, more than 1e-04"):
        export.write_onnx(tmp_path / "x.onnx", Exported(Scaled(), torch.ones(3, 2), "values", ("out",), {}))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("flip_tta", [False, True])
def test_the_joint_graph_averages_the_views_that_prediction_averages(flip_tta):
    made = joint_make.packed(flip_tta=flip_tta)
    model, size = of_joint(made), made.window.size
    regions, grade = (found.detach().numpy() for found in model.graph(model.example))
    for number, cube in enumerate(model.example.numpy()):
        case = Case("c", cube, None, np.eye(4), np.eye(4), (size,) * 3)
        expected = predict_case(made.net, case, made.window)
        assert regions[number] == pytest.approx(expected.regions, abs=1e-4)
        scaled = expected.grade ** (1 / made.card.calibration.temperature)
        assert grade[number] == pytest.approx(scaled / scaled.sum(), abs=1e-4)


def test_outputs_of_networks_with_one_head():
    assert of_joint(joint_make.packed(grading="none")).output_names == ("regions",)
    grader = of_joint(joint_make.packed(segmentation=False, attention=False, grading="global"))
    assert grader.output_names == ("grade",)
    (grade,) = grader.graph(grader.example)
    assert grade.shape == (3, 2) and torch.allclose(grade.sum(dim=1), torch.ones(3))
