"""Predictions of the packed classifier: same numbers as the pipeline's, correct flags, maps on the images' grids."""

import cv2
import numpy as np
import pytest
import torch
from scipy.special import softmax

from btlib.app.models.packed_classifier import load_packed, save_packed
from btlib.app.predict import slices
from btlib.app.predict.overlays import LINE, RIM, SIDE, outlined, overlay
from btlib.app.predict.slices import BATCH, SlicePredictor
from btlib.core.runtime.artifacts import read_json, read_tensors, write_json, write_tensors
from btlib.core.runtime.errors import InputError
from btlib.images.data.classes import CLASSES
from btlib.images.data.preprocessing import preprocess
from btlib.images.explain.gradcam import gradcam
from btlib.images.nets.features import middle_features, see
from btlib.images.nets.inference import predict
from tests.app.slice_make import LEVELS, SIZE, as_batch, packed_classifier, picture, write_model


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model") / "classifier")


@pytest.fixture(scope="module")
def predictor(model):
    return SlicePredictor.load(model)


IMAGES = [picture(seed, 30 + seed, 60 - seed) for seed in range(5)]


def test_probabilities_are_the_pipelines_after_temperature_by_hand(predictor):
    squares = np.stack([preprocess(image, SIZE, LEVELS) for image in IMAGES])
    table = predict(packed_classifier().net, squares)  # as written by stage evaluate, uncalibrated
    by_hand = table**0.5 / (table**0.5).sum(axis=1, keepdims=True)  # temperature 2
    answers = predictor.answer(IMAGES, heat=False)
    assert [[*answer.probabilities] for answer in answers] == [list(CLASSES)] * 5
    assert np.array([[*answer.probabilities.values()] for answer in answers]) == pytest.approx(by_hand, abs=1e-6)
    assert [answer.label for answer in answers] == [CLASSES[k] for k in table.argmax(axis=1)]
    assert [answer.confidence for answer in answers] == pytest.approx(by_hand.max(axis=1), abs=1e-6)
    assert by_hand == pytest.approx(softmax(np.log(table) / 2, axis=1))


def test_unsure_below_but_not_at_the_threshold(tmp_path):
    packed = packed_classifier()
    (answer,) = SlicePredictor(packed).answer(IMAGES[:1], heat=False)
    for threshold, unsure in ((answer.confidence, False), (np.nextafter(answer.confidence, 1), True), (2.0, True)):
        packed.card.unsure.threshold = float(threshold)
        assert SlicePredictor(packed).answer(IMAGES[:1], heat=False)[0].unsure is unsure


def test_out_of_distribution_images_are_unfamiliar(predictor):
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    stripes = np.uint8(np.broadcast_to(255 * (np.arange(40) // 4 % 2)[:, None, None], (40, 40, 3)))
    familiar, *strange = predictor.answer([picture(99), noise, stripes], heat=False)
    assert familiar.novelty < 2 < min(answer.novelty for answer in strange)
    assert [answer.unfamiliar for answer in strange] == [True, True]


def test_heat_is_the_pipelines_gradcam_on_each_images_own_grid(predictor):
    square = [picture(seed, SIZE, SIZE) for seed in range(3)]
    answers = predictor.answer(square, heat=True)
    targets = np.array([CLASSES.index(answer.label) for answer in answers])
    squares = np.stack([preprocess(image, SIZE, LEVELS) for image in square])
    expected = gradcam(packed_classifier().net, squares, targets)["fused"]
    assert np.stack([answer.heat for answer in answers]) == pytest.approx(expected, abs=1e-4)
    assert [answer.heat.shape for answer in predictor.answer(IMAGES, heat=True)] == [i.shape[:2] for i in IMAGES]
    assert predictor.answer(IMAGES[:1], heat=False)[0].heat is None


def test_answers_do_not_depend_on_the_batch(predictor):
    many = IMAGES * (BATCH // 4)
    assert len(many) > BATCH
    answers = predictor.answer(many, heat=False)
    assert len(answers) == len(many)
    for number, answer in enumerate(answers):
        alone = predictor.answer([many[number % 5]], heat=False)[0] if number >= len(many) - 5 else answers[number % 5]
        assert answer.confidence == pytest.approx(alone.confidence, abs=1e-6)
    assert predictor.answer([], heat=True) == []


def test_one_pass_gives_feature_maps_and_logits():
    net = packed_classifier().net
    squares = np.stack([preprocess(image, SIZE, LEVELS) for image in IMAGES])
    batch = as_batch(squares)
    seen = see(net, batch)
    for got, expected in zip(seen.features, net.features(batch), strict=True):
        assert torch.allclose(got, expected, atol=1e-5)
    half = net.backbones[0].trunk(batch, len(net.backbones[0].units) // 2 + 1)[-1].mean(dim=(2, 3))
    assert torch.allclose(seen.middle[:, : half.shape[1]], half, atol=1e-6)
    assert middle_features(net, squares) == pytest.approx(seen.middle.numpy(), abs=1e-5)


def seeing(monkeypatch, logits):
    """From now on the lesion map of every image is `logits` [h, w]."""

    def seen(net, images):
        return see(net, images)._replace(lesion=torch.tensor(logits).repeat(len(images), 1, 1))

    monkeypatch.setattr(slices, "see", seen)


def test_lesion_map_by_hand(monkeypatch):
    logits = np.full((8, 8), -np.log(9), np.float32)  # 0.1
    logits[2:4, 4:8] = np.log(9)  # 0.9
    seeing(monkeypatch, logits)
    predictor, image = SlicePredictor(packed_classifier()), picture(0, 2 * SIZE, 4 * SIZE)
    (answer,) = predictor.answer([image], heat=True)
    assert answer.lesion.shape == (2 * SIZE, 4 * SIZE) and answer.lesion.dtype == np.float32
    # a cell is 8 pixels high and 16 wide
    assert answer.lesion[24, 104] == pytest.approx(0.9, abs=1e-6) and answer.lesion[60, 10] == pytest.approx(0.1, 1e-5)
    inside = answer.lesion >= 0.5
    assert np.flatnonzero(inside[:, 100]).tolist() == list(range(16, 32))
    assert np.flatnonzero(inside[24]).tolist() == list(range(64, 128))
    assert answer.lesion_share == pytest.approx(8 / 64, abs=0.01)
    assert inside.mean() == pytest.approx(answer.lesion_share, abs=0.01)


@pytest.mark.parametrize(("logit", "share"), [(0.0, 1.0), (-1e-3, 0.0)])
def test_at_least_one_half_is_outlined(monkeypatch, logit, share):
    seeing(monkeypatch, np.full((8, 8), logit, np.float32))
    assert SlicePredictor(packed_classifier()).answer(IMAGES[:1], heat=False)[0].lesion_share == share


@pytest.mark.parametrize("tied", [False, True])
def test_lesion_map_is_the_networks(tied):
    packed = packed_classifier(lesion=True, tied=tied)
    squares = np.stack([preprocess(image, SIZE, LEVELS) for image in IMAGES])
    lesions = see(packed.net, as_batch(squares)).lesion.sigmoid().numpy()
    answers = SlicePredictor(packed).answer(IMAGES, heat=True)
    for answer, lesion, image in zip(answers, lesions, IMAGES, strict=True):
        whole = cv2.resize(lesion, (SIZE, SIZE))
        assert answer.lesion == pytest.approx(cv2.resize(whole, image.shape[1::-1]), abs=1e-5)
        assert answer.lesion_share == pytest.approx((whole >= 0.5).mean(), abs=0.002) and 0 < answer.lesion_share < 1


def test_share_is_the_same_without_maps():
    predictor = SlicePredictor(packed_classifier(lesion=True))
    with_maps, without = (predictor.answer(IMAGES, heat=heat) for heat in (True, False))
    assert [answer.lesion for answer in without] == [None] * 5
    assert [answer.lesion_share for answer in without] == [answer.lesion_share for answer in with_maps]


def test_no_lesion_map_without_a_lesion_head(predictor):
    (answer,) = predictor.answer(IMAGES[:1], heat=True)
    assert (answer.lesion, answer.lesion_share) == (None, None) and answer.heat is not None


def test_card_from_before_the_lesion_head_is_read(predictor, tmp_path):
    write_model(tmp_path / "old")
    card = read_json(tmp_path / "old/card.json")
    del card["architecture"]["lesion"], card["architecture"]["tied"]
    write_json(tmp_path / "old/card.json", card)
    old, new = (one.answer(IMAGES, heat=False) for one in (SlicePredictor.load(tmp_path / "old"), predictor))
    assert [answer.probabilities for answer in old] == [answer.probabilities for answer in new]


def test_packed_model_round_trip(model, predictor):
    packed, back = packed_classifier(), load_packed(model)
    assert back.card == packed.card and predictor.card == packed.card.model_dump()
    assert predictor.data_note == "phantom data" and predictor.classes == CLASSES
    assert read_json(model / "card.json")["stage"] == "stage2"
    features = np.random.default_rng(0).normal(size=(3, len(packed.novelty.mean)))
    assert np.array_equal(back.novelty.scores(features), packed.novelty.scores(features))


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("calibration", "temperature", 0),
        ("novelty", "threshold", -1.0),
        ("preprocessing", "image_size", 10**9),
        ("unsure", "threshold", "high"),
    ],
)
def test_invalid_card_values_are_refused(part, key, value, tmp_path):
    save_packed(tmp_path / "model", packed_classifier(), {})
    card = read_json(tmp_path / "model/card.json")
    card[part][key] = value
    write_json(tmp_path / "model/card.json", card)
    with pytest.raises(InputError, match=rf"card\.json: missing or wrong: {part}\.{key}; recreate it"):
        load_packed(tmp_path / "model")


@pytest.mark.parametrize("name", ["mean", "directions", "deviations", "rest"])
def test_incomplete_novelty_tensors_are_refused(name, tmp_path):
    save_packed(tmp_path / "model", packed_classifier(), {})
    path = tmp_path / "model/novelty.safetensors"
    tensors, _ = read_tensors(path)
    write_tensors(path, tensors | {name: torch.zeros(3, 5, 7)})
    with pytest.raises(InputError, match=r"novelty\.safetensors: inconsistent shapes"):
        load_packed(tmp_path / "model")
    del tensors[name]
    write_tensors(path, tensors)
    with pytest.raises(InputError, match=rf"novelty\.safetensors: missing array '{name}'; recreate"):
        load_packed(tmp_path / "model")


def test_missing_or_incomplete_folder_error_names_the_command(tmp_path):
    with pytest.raises(
        InputError, match=r"nowhere: no such model folder; create it with `dvc repro package_classifier`"
    ):
        SlicePredictor.load(tmp_path / "nowhere")
    save_packed(tmp_path / "old", packed_classifier(), {})
    card = read_json(tmp_path / "old/card.json")
    del card["unsure"]["threshold"], card["calibration"]
    write_json(tmp_path / "old/card.json", card)
    with pytest.raises(InputError, match=r"card\.json: missing or wrong: calibration, unsure\.threshold; recreate it"):
        load_packed(tmp_path / "old")


def test_overlay_covers_only_hot_pixels():
    image, heat = picture(0), np.zeros((40, 48), np.float32)
    heat[:5] = 1
    covered = overlay(image, heat)
    assert np.array_equal(covered[5:], image[5:]) and covered.dtype == np.uint8
    assert (covered[:5, :, 0].astype(int) > covered[:5, :, 2]).all()  # the hottest colour is red


@pytest.mark.parametrize("channels", [3, 4])
def test_outline_is_a_line_on_the_lesions_edge_within_a_dark_rim(channels):
    lesion = np.full((40, 48), 0.49, np.float32)
    lesion[10:20, 15:30] = 0.5
    image = np.full((40, 48, channels), 100, np.uint8)
    drawn, before = outlined(image, lesion), image.copy()
    edge = np.zeros((40, 48), bool)
    edge[10:20, 15:30] = True
    edge[11:19, 16:29] = False
    assert LINE == (240, 228, 66, 255) and RIM == (0, 0, 0, 255)
    assert (drawn[edge] == LINE[:channels]).all()
    for across, (first, last) in ((drawn[:, 22], (10, 19)), (drawn[15], (15, 29))):
        assert (across[[first - 1, first + 1, last - 1, last + 1]] == RIM[:channels]).all()
        assert (across[: first - 1] == 100).all() and (across[last + 2 :] == 100).all()
        assert (across[first + 2 : last - 1] == 100).all()
    assert np.array_equal(image, before), "the picture itself is not drawn on"


def test_nothing_is_outlined_below_one_half():
    image = picture(0)
    assert np.array_equal(outlined(image, np.full((40, 48), 0.49, np.float32)), image)


def test_outline_is_thicker_on_larger_images():
    lesion = np.zeros((2 * SIDE, 2 * SIDE), np.float32)
    lesion[400:600, 400:600] = 1
    column = outlined(np.zeros((*lesion.shape, 3), np.uint8), lesion)[:, 500]
    assert np.flatnonzero((column == LINE[:3]).all(axis=1)).tolist() == [399, 400, 401, 598, 599, 600]
