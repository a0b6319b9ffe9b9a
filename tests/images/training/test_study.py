"""Arms through both stages: each exactly as if trained alone."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from btlib.core.runtime.workers import side_by_side
from btlib.core.training.resume import ResumeState
from btlib.images.data.classes import CLASSES
from btlib.images.data.resident import ResidentImages
from btlib.images.training import study as study_module
from btlib.images.training.study import Study, families_of, groups_of, streams_of

BACKBONES = ("test_efficientnet", "test_convnext")
RECIPE = {
    "image_size": 32,
    "batch_size": 8,
    "lr_stage1": 3e-3,
    "lr_stage2": 1e-3,
    "mixup_alpha": 0.2,
    "focal_gamma": 2.0,
    "focal_alpha": "inverse_frequency",
    "label_smoothing": 0.05,
    "ema_decay": 0.9,
    "epochs_stage1": 2,
    "epochs_stage2": 2,
    "backbones": BACKBONES,
    "fusion": "gated_cross_attention",
    "model.width": 16,
    "model.heads": 2,
    "model.dropout": 0.3,
    "model.flip_tta": False,
    "lesion.weight": 0.0,
    "lesion.outlines": True,
    "lesion.healthy": True,
    "lesion.tied": True,
    "images.phantom.share": 0.0,
    "training.optimizer": "adam",
    "training.weight_decay": 0.0,
    "training.schedule": "cosine",
    "training.loss": "focal",
    "training.unfreeze_fraction": 0.5,
    "training.train_batchnorm": False,
    "training.clip_norm": 0.0,
    "training.keep_epoch": "best",
    "training.patience": 5,
    "training.augment.flip_horizontal": 0.5,
    "training.augment.flip_vertical": 0.5,
    "training.augment.brightness": 0.1,
    "training.augment.contrast": 0.1,
}
ARMS = {
    "proposed": RECIPE,
    "concatenation": RECIPE | {"fusion": "concatenation"},
    "same": dict(RECIPE),
    "no_ema": RECIPE | {"ema_decay": 0.0},
    "no_mixup": RECIPE | {"mixup_alpha": 0.0},
    "lesion_head": RECIPE | {"lesion.weight": 1.0},
    "phantoms": RECIPE | {"lesion.weight": 1.0, "images.phantom.share": 0.5},
    "single": RECIPE | {"backbones": BACKBONES[:1], "fusion": "none", "image_size": 24},
}


@pytest.fixture
def data(task):
    resident, train, val = task
    small = ResidentImages(
        np.ascontiguousarray(resident._images[:, :24, :24]), resident.labels[:48], torch.device("cpu")
    )
    sizes = {32: resident, 24: small}
    return SimpleNamespace(classes=CLASSES, train=train, val=val, resident_at=sizes.__getitem__)


@pytest.fixture
def train(data, states, fabric, tmp_path, monkeypatch):
    monkeypatch.setattr(
        study_module, "ResumeState", lambda stage, run_hash: ResumeState(stage, run_hash, tmp_path / "resume")
    )

    def run(names, seeds=(0,), arms=ARMS):
        study = Study("table", {name: arms[name] for name in names}, data, states, fabric, "data")
        done = {(run.arm, run.seed): run for run in study.train(seeds)}
        return done, study

    return run


def weights(run):
    return {name: tensor.clone() for name, tensor in run.net.state_dict().items()}


def assert_same(a, b):
    assert a.keys() == b.keys()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []


def test_streams_are_derived_from_shared_settings():
    recipes = {name: recipe | {"seed": 0} for name, recipe in ARMS.items()}
    streams = [["proposed", "concatenation", "same", "no_ema", "lesion_head"], ["no_mixup"], ["phantoms"], ["single"]]
    assert list(groups_of(recipes, 1).values()) == streams
    other = {"a": RECIPE | {"seed": 0}, "b": RECIPE | {"seed": 0, "training.unfreeze_fraction": 1.0}}
    assert len(groups_of(other, 1)) == 1 and len(groups_of(other, 2)) == 2
    for change in ({"seed": 1}, {"batch_size": 4}, {"epochs_stage1": 1}, {"training.augment.flip_vertical": 0.0}):
        assert len(groups_of({"a": RECIPE | {"seed": 0}, "b": RECIPE | {"seed": 0} | change}, 1)) == 2, change
    for change in ({"focal_gamma": 1.0}, {"label_smoothing": 0.1}, {"lr_stage1": 1e-4}, {"model.width": 8}):
        assert len(groups_of({"a": RECIPE | {"seed": 0}, "b": RECIPE | {"seed": 0} | change}, 1)) == 1, change


def test_arms_that_share_batches_in_any_stage_are_one_stream():
    assert streams_of(ARMS) == [
        ["proposed", "concatenation", "same", "no_ema", "lesion_head"],
        ["no_mixup"],
        ["phantoms"],
        ["single"],
    ]
    # a and b share stage 1 only, b and c stage 2 only
    chain = {"a": RECIPE, "x": RECIPE | {"batch_size": 4}, "b": RECIPE | {"training.unfreeze_fraction": 1.0}}
    chain["c"] = chain["b"] | {"epochs_stage1": 1}
    assert streams_of(chain) == [["a", "b", "c"], ["x"]]
    assert streams_of({}) == []


def test_arm_is_bit_equal_alone_and_with_others_in_both_stages(train):
    together, study = train(ARMS)
    study.forget()
    for name in ARMS:
        alone, study = train([name])
        study.forget()
        assert_same(weights(alone[name, 0]), weights(together[name, 0]))
        assert alone[name, 0].history == together[name, 0].history
    assert_same(weights(together["proposed", 0]), weights(together["same", 0]))
    assert not torch.equal(together["proposed", 0].net.linear.weight, together["no_ema", 0].net.linear.weight)
    rows = together["proposed", 0].history
    assert [(row["stage"], row["epoch"]) for row in rows] == [(1, 0), (1, 1), (2, 0), (2, 1)]


def test_reordering_and_other_seeds_have_no_effect(train):
    first, study = train(["proposed", "concatenation"], seeds=(0, 1))
    study.forget()
    second, study = train(["concatenation", "proposed"], seeds=(1,))
    study.forget()
    for name in ("proposed", "concatenation"):
        assert_same(weights(first[name, 1]), weights(second[name, 1]))
        assert not torch.equal(first[name, 0].net.linear.weight, first[name, 1].net.linear.weight)


def test_concurrent_seeds_equal_sequential_ones(train, monkeypatch):
    names, seeds = ["proposed", "no_mixup"], (0, 1)
    apart, study = train(names, seeds)
    study.forget()
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    for done, study in side_by_side(lambda seed: train(names, (seed,)), seeds):
        study.forget()
        for key, run in done.items():
            assert_same(weights(run), weights(apart[key]))
            assert run.history == apart[key].history


def test_equal_recipes_are_trained_once_and_ema_is_a_readout(train, monkeypatch):
    calls = []
    original = study_module.train_arms

    def counting(arms, *given):
        calls.append([(settings.name, settings.ema_decays) for settings, _ in arms])
        return original(arms, *given)

    monkeypatch.setattr(study_module, "train_arms", counting)
    train(["proposed", "same", "no_ema"])
    assert calls == [[("proposed", (0.9, 0.0))], [("proposed", (0.9,)), ("no_ema", (0.0,))]]
    calls.clear()
    one_stage = {name: recipe | {"epochs_stage1": 0} for name, recipe in ARMS.items()}
    train(["proposed", "no_ema"], arms=one_stage)
    assert calls == [[("proposed", (0.9, 0.0))]], "without a stage 1 the readouts share stage 2, too"


def test_families_require_otherwise_equal_recipes(train):
    done, _ = train(
        ["proposed", "no_ema"], arms={k: v | {"epochs_stage1": 0, "epochs_stage2": 0} for k, v in ARMS.items()}
    )
    runs = list(done.values())
    assert [[run.arm for run in family] for family in families_of(runs, 2)] == [["proposed", "no_ema"]]
    runs[1].recipe["focal_gamma"] = 1.0
    assert len(families_of(runs, 2)) == 2


def test_diverging_arm_is_reported_and_others_are_unaffected(train):
    arms = ARMS | {"bad": RECIPE | {"lr_stage1": 9e30, "training.schedule": "constant"}}
    done, study = train(["proposed", "bad"], arms=arms)
    study.forget()
    assert "became" in done["bad", 0].failed and not done["proposed", 0].failed
    alone, _ = train(["proposed"])
    assert_same(weights(done["proposed", 0]), weights(alone["proposed", 0]))


def test_stopped_study_resumes_to_the_same_weights(train, monkeypatch, tmp_path):
    whole, study = train(["proposed", "no_mixup"], seeds=(0, 1))
    study.forget()
    assert list((tmp_path / "resume").rglob("*.safetensors")) == []
    original, calls = study_module.train_arms, []

    def stopping(*given):
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return original(*given)

    monkeypatch.setattr(study_module, "train_arms", stopping)
    with pytest.raises(KeyboardInterrupt):
        train(["proposed", "no_mixup"], seeds=(0, 1))
    assert len(list((tmp_path / "resume").rglob("*.safetensors"))) == 5
    resumed, _ = train(["proposed", "no_mixup"], seeds=(0, 1))
    for key, run in whole.items():
        assert_same(weights(run), weights(resumed[key]))
        assert run.history == resumed[key].history
