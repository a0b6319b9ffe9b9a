"""Training of joint networks: alone or with others, killed and resumed, with missing truth, and learning."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from btlib.core.runtime.errors import InputError
from btlib.core.runtime.reproducibility import keyed_rng
from btlib.core.runtime.workers import make_fabric
from btlib.core.training.resume import ResumeState
from btlib.volumes.data.store import case_path, save_case
from btlib.volumes.nets.network import build_joint
from btlib.volumes.nets.windows import Window
from btlib.volumes.training import learner as joint_module
from btlib.volumes.training import study as joint_study
from btlib.volumes.training.augment import Strength
from btlib.volumes.training.learner import JointTask, train_joint_arms
from btlib.volumes.training.study import JointStudy
from tests.volumes.training.joint_samples import ARCHITECTURE, SIDE, SLOWLY, make_case, settings, spec, write_cases


@pytest.fixture
def volumes(tmp_path):
    def make(grades=("LGG", "HGG") * 4, without_seg=()):
        return write_cases(tmp_path, grades, without_seg)

    return make


class InMemory(list):
    """Cases as arrays."""

    @property
    def shapes(self):
        return [case.image.shape[1:] for case in self]


TRAIN, VAL = np.arange(6), np.arange(6, 8)


@pytest.fixture
def fabric():
    return make_fabric(1, "fp32")


def train(arms, data, fabric, resume=None, **changes):
    pairs = [(s, build_joint(a, s.seed)) for s, a in arms]
    return train_joint_arms(pairs, JointTask(data, TRAIN, VAL, spec(**changes)), fabric, resume)


def weights(arm):
    return {name: tensor.clone() for name, tensor in arm.net.state_dict().items()}


def assert_same(a, b):
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_arm_is_the_same_alone_and_with_others(volumes, fabric):
    data = volumes()
    plain = ARCHITECTURE._replace(attention=False)
    others = [
        (settings(name="plain"), plain),
        (settings(), ARCHITECTURE),
        (settings(name="λ", grade_weight=2.0), plain),
    ]
    among = train(others, data, fabric)[1]
    (alone,) = train([(settings(), ARCHITECTURE)], data, fabric)
    assert_same(weights(among), weights(alone))
    assert among.readouts[0].progress == alone.readouts[0].progress


def test_mapped_cases_train_the_same_network_as_cases_in_memory(volumes, fabric):
    data, kept = volumes(without_seg=(1,)), volumes(without_seg=(1,))
    kept.cases = InMemory([make_case(number, number != 1) for number in range(8)])
    (mapped,), (in_memory,) = (train([(settings(), ARCHITECTURE)], one, fabric) for one in (data, kept))
    assert_same(weights(mapped), weights(in_memory))
    assert mapped.readouts[0].progress == in_memory.readouts[0].progress


def test_file_replaced_during_training_ends_it(volumes, fabric, monkeypatch):
    data, batch = volumes(), joint_module.JointTask.batch

    def replacing(self, rows, key, mine):
        if key[1:] == (1, 0):
            for number in TRAIN:
                save_case(case_path(data.cases.folder, f"c{number}"), make_case(number + 2))
        return batch(self, rows, key, mine)

    monkeypatch.setattr(joint_module.JointTask, "batch", replacing)
    with pytest.raises(InputError, match=r"c\d\.npy: other data than at the start of this run"):
        train([(settings(), ARCHITECTURE)], data, fabric)


@pytest.mark.parametrize("parts", [2, 3])
def test_batch_in_parts_trains_the_same_network(volumes, fabric, parts):
    data = volumes(("LGG", "HGG", "", "HGG", "LGG", "HGG", "LGG", "HGG"), without_seg=(0, 1))
    (whole,), (split,) = (
        train([(settings(**SLOWLY), ARCHITECTURE)], data, fabric, batch_size=3, accumulate=count)
        for count in (1, parts)
    )
    for name, tensor in weights(whole).items():
        torch.testing.assert_close(weights(split)[name], tensor, atol=1e-5, rtol=1e-5, msg=name)
    rows = [[pytest.approx(row, abs=1e-5) for row in whole.readouts[0].progress.history]]
    assert [split.readouts[0].progress.history] == rows


def test_parts_of_a_batch_are_those_of_the_whole(volumes):
    task = JointTask(volumes(), TRAIN, VAL, spec(window=Window(8, 8)))  # smaller than the brains: cropped at random
    whole = task.batch(TRAIN, (0, 0, 0), torch.arange(6))
    part = task.batch(TRAIN, (0, 0, 0), torch.tensor([1, 4, 5]))
    for name in ("images", "regions", "segmented", "grade"):
        torch.testing.assert_close(getattr(part, name), getattr(whole, name)[[1, 4, 5]])


def test_killed_run_resumes_to_the_same_results(volumes, fabric, tmp_path, monkeypatch):
    data, arms = volumes(), [(settings(), ARCHITECTURE)]
    (whole,) = train(arms, data, fabric, epochs=3)
    state, left = ResumeState("t", "hash", tmp_path / "resume"), iter([True, True, False])
    batch = joint_module.JointTask.batch

    def killed(self, rows, key, mine):
        if key[1] == 2 and next(left, True):
            raise KeyboardInterrupt
        return batch(self, rows, key, mine)

    monkeypatch.setattr(joint_module.JointTask, "batch", killed)
    with pytest.raises(KeyboardInterrupt):
        train(arms, data, fabric, state, epochs=3)
    monkeypatch.setattr(joint_module.JointTask, "batch", batch)
    (resumed,) = train(arms, data, fabric, state, epochs=3)
    assert_same(weights(resumed), weights(whole))
    assert resumed.readouts[0].progress == whole.readouts[0].progress


def test_both_tasks_are_learnt(volumes, fabric):
    eager, still = settings(ema_decays=(0.0,), learning_rate=1e-2), Strength(*[0.0] * 9)
    (arm,) = train([(eager, ARCHITECTURE)], volumes(), fabric, epochs=40, augmentation=still)
    best = max(arm.readouts[0].progress.history, key=lambda row: -row["val_loss"])
    assert best["val_dice"] > 0.7
    assert best["val_accuracy"] == 1.0


def test_cases_with_partial_truth_train_the_other_task(volumes, fabric):
    data = volumes(("LGG", "HGG", "", "", "LGG", "HGG", "LGG", "HGG"), without_seg=(0, 1))
    (arm,) = train([(settings(), ARCHITECTURE)], data, fabric)
    assert not arm.failed
    learner = arm.learner
    batch = joint_module.JointTask(data, TRAIN, VAL, spec()).batch(np.array([0, 2]), (0, 0, 0), torch.arange(2))
    assert batch.segmented.tolist() == [False, True]
    assert batch.grade.tolist() == [0, -1]
    both, _ = learner.losses(batch, (0, 0, 0))
    learner.settings = settings(grade_weight=0.0)
    segmentation, _ = learner.losses(batch, (0, 0, 0))
    assert segmentation[0] == 0 < both[0]
    assert segmentation[1] == both[1] > 0


def test_validation_score_is_dice_and_grade(volumes, fabric):
    for change, keys in (
        ({}, {"val_dice", "val_grade_loss", "val_accuracy"}),
        ({"grading": "none"}, {"val_dice"}),
        ({"segmentation": False, "attention": False, "grading": "global"}, {"val_grade_loss", "val_accuracy"}),
    ):
        (arm,) = train([(settings(), ARCHITECTURE._replace(**change))], volumes(), fabric, epochs=1)
        (row,) = arm.readouts[0].progress.history
        assert {key for key in row if key.startswith("val_")} == keys | {"val_loss"}
        dice = 1 - row["val_dice"] if "val_dice" in row else 0
        weight = 0.5 if "val_dice" in row else 1
        assert row["val_loss"] == pytest.approx(dice + weight * row.get("val_grade_loss", 0))


def test_diverging_arm_does_not_affect_others(volumes, fabric):
    data = volumes()
    bad = settings(name="bad", learning_rate=1e18, clip_norm=0.0)
    lost, good = train([(bad, ARCHITECTURE), (settings(), ARCHITECTURE)], data, fabric)
    (alone,) = train([(settings(), ARCHITECTURE)], data, fabric)
    assert "loss became" in lost.failed
    assert_same(weights(good), weights(alone))


def test_study_gives_the_same_networks_in_parallel_and_sequentially(volumes, fabric, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stored = volumes()
    data = SimpleNamespace(arrays=[], task=lambda spec: JointTask(stored, TRAIN, VAL, spec))
    augment = {f"augment.{name}": value for name, value in spec().augmentation._asdict().items()}
    recipe = (
        ARCHITECTURE._asdict()
        | augment
        | {"size": SIDE, "epochs": 1, "coarse_epochs": 0, "batch_size": 2, "accumulate": 1}
    )
    recipe |= {key: value for key, value in vars(settings()).items() if key not in ("name", "seed", "ema_decays")}
    recipe |= {"ema_decay": 0.9}
    arms = {
        "full": recipe,
        "no_dropout": recipe | {"augment.modality_dropout": 0.0},
        "plain": recipe | {"attention": False},
    }
    study = JointStudy(arms, data, SIDE, fabric)
    beside = list(study.train([1, 0]))
    study.forget()
    assert not list(tmp_path.rglob("*.safetensors"))
    assert [(done.seed, done.arm) for done in beside] == [(seed, arm) for seed in (1, 0) for arm in arms]
    monkeypatch.setattr(joint_study, "side_by_side", map)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    after = list(JointStudy(arms, data, SIDE, fabric).train([1, 0]))
    torch.set_num_threads(threads)
    for one, other in zip(beside, after, strict=True):
        assert_same(one.net.state_dict(), other.net.state_dict())
        assert one.history == other.history


def test_missing_training_data_is_refused(volumes, fabric):
    arms = [(settings(), ARCHITECTURE)]
    with pytest.raises(InputError, match=r"joint\.batch_size: 9 is more than the 6 training cases"):
        train(arms, volumes(), fabric, batch_size=9)
    with pytest.raises(InputError, match=r"no training case has grade LGG; .*joint\.grading: none"):
        train(arms, volumes(("HGG",) * 6 + ("LGG", "HGG")), fabric)
    with pytest.raises(InputError, match=r"no validation case has a segmentation"):
        train(arms, volumes(without_seg=(6, 7)), fabric)


def test_large_brain_is_cropped_by_key_or_centrally(volumes):
    data = volumes()
    case = data.cases[0].image.astype(np.float32)
    middle = data.cubes(np.array([0]), 8).images[0].numpy()
    np.testing.assert_array_equal(middle, case[:, 2:10, 4:12, 1:9])
    a, b, c = (data.cubes(np.array([0]), 8, keyed_rng(n)).images for n in (0, 0, 1))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_coarse_epochs_come_first_at_half_the_size(volumes):
    task = joint_module.JointTask(volumes(), TRAIN, VAL, spec(coarse_epochs=1))
    for epoch, side in ((0, SIDE // 2), (1, SIDE)):
        batch = task.batch(TRAIN[:2], (0, epoch, 0), torch.arange(2))
        assert batch.images.shape == (2, 4, side, side, side)
        assert batch.regions.shape == (2, 3, side, side, side)
        assert set(batch.regions.unique().tolist()) <= {0.0, 1.0}
