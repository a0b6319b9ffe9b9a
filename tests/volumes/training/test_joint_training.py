"""Training of joint networks: alone or with others, killed and resumed, with missing truth, and learning."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from btlib.core.runtime.artifacts import write_csv
from btlib.core.runtime.errors import InputError
from btlib.core.runtime.reproducibility import keyed_rng
from btlib.core.runtime.workers import make_fabric
from btlib.core.training.resume import ResumeState
from btlib.volumes.data.resident import ResidentVolumes
from btlib.volumes.data.store import Case, case_path, save_case
from btlib.volumes.nets.inference import predict_case
from btlib.volumes.nets.network import JointArchitecture, build_joint
from btlib.volumes.nets.plain import PlainArchitecture, build_plain
from btlib.volumes.nets.windows import Window
from btlib.volumes.training import learner as joint_module
from btlib.volumes.training import study as joint_study
from btlib.volumes.training.augment import Strength
from btlib.volumes.training.learner import BatchSpec, JointSettings, JointTask, train_joint_arms
from btlib.volumes.training.study import JointStudy

ARCHITECTURE = JointArchitecture(width=8, attention=True, segmentation=True, grading="regions", dropout=0.2)
PLAIN = PlainArchitecture("resnet10", 8)
each_kind = pytest.mark.parametrize("architecture", [ARCHITECTURE, PLAIN], ids=["joint", "plain"])
SIDE = 16


def settings(**changes):
    values = {"name": "main", "seed": 0, "optimizer": "adam", "learning_rate": 5e-3, "weight_decay": 0.0}
    values |= {"schedule": "constant", "clip_norm": 1.0, "ema_decays": (0.9,), "patience": 99}
    return JointSettings(**values | {"grade_weight": 0.5, "label_smoothing": 0.05} | changes)


def spec(**changes):
    strength = Strength(0.5, 0.5, 5, 0.1, 0.05, 0.1, 0.1, 0.05, 0.1)
    values = {
        "seed": 0,
        "epochs": 2,
        "coarse_epochs": 0,
        "batch_size": 2,
        "window": Window(SIDE, SIDE),
        "augmentation": strength,
    }
    return BatchSpec(**values | changes)


def make_case(number, seg=True):
    """A bright ball; the ball of a high grade (odd numbers) has a hole."""
    rng = keyed_rng(number)
    place = np.indices((12, SIDE, 10)) - rng.uniform(4, 7, 3)[:, None, None, None]
    distance = np.sqrt((place**2).sum(0))
    labels = np.where(distance < 3.5, 2, 0)
    if number % 2:
        labels[distance < 2] = 3
    image = rng.normal(0, 0.3, (4, *labels.shape)) + 2 * (labels > 0) - 4 * (labels == 3)
    geometry = np.eye(4)
    truth = labels.astype(np.uint8) if seg else None
    return Case(f"c{number}", image.astype(np.float16), truth, geometry, geometry, labels.shape)


@pytest.fixture
def volumes(tmp_path):
    def make(grades=("LGG", "HGG") * 4, without_seg=()):
        import pandas as pd

        for number in range(len(grades)):
            save_case(case_path(tmp_path, f"c{number}"), make_case(number, number not in without_seg))
        names = [f"c{number}" for number in range(len(grades))]
        index = pd.DataFrame({"case": names, "patient": names, "grade": list(grades), "has_seg": True})
        write_csv(tmp_path / "index.csv", index)
        return ResidentVolumes(tmp_path, names, torch.device("cpu"))

    return make


TRAIN, VAL = np.arange(6), np.arange(6, 8)


@pytest.fixture
def fabric():
    return make_fabric(1, "fp32")


def build(architecture, seed):
    plain = isinstance(architecture, PlainArchitecture)
    return (build_plain if plain else build_joint)(architecture, seed)


def train(arms, data, fabric, resume=None, **changes):
    pairs = [(s, build(a, s.seed)) for s, a in arms]
    return train_joint_arms(pairs, JointTask(data, TRAIN, VAL, spec(**changes)), fabric, resume)


def weights(arm):
    return {name: tensor.clone() for name, tensor in arm.net.state_dict().items()}


def assert_same(a, b):
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)


@each_kind
def test_arm_is_the_same_alone_and_with_others(architecture, volumes, fabric):
    data = volumes()
    plain = ARCHITECTURE._replace(attention=False)
    others = [
        (settings(name="plain"), plain),
        (settings(), architecture),
        (settings(name="λ", grade_weight=2.0), plain),
    ]
    among = train(others, data, fabric)[1]
    (alone,) = train([(settings(), architecture)], data, fabric)
    assert_same(weights(among), weights(alone))
    assert among.readouts[0].progress == alone.readouts[0].progress


@each_kind
def test_killed_run_resumes_to_the_same_results(architecture, volumes, fabric, tmp_path, monkeypatch):
    data, arms = volumes(), [(settings(), architecture)]
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


def test_a_plain_network_learns_the_grade(volumes, fabric):
    eager, still = settings(ema_decays=(0.0,), learning_rate=2e-3), Strength(*[0.0] * 9)
    (arm,) = train([(eager, PLAIN)], volumes(), fabric, epochs=40, augmentation=still)
    first, *_, last = arm.readouts[0].progress.history
    assert last["train_accuracy"] == 1.0 and last["train_loss"] < first["train_loss"] / 2
    assert {key for key in last if key.startswith("val_")} == {"val_loss", "val_grade_loss", "val_accuracy"}


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


def study_of(resident, fabric, arms):
    data = SimpleNamespace(
        resident=resident,
        arrays=[],
        train=TRAIN,
        patients=np.array(resident.names, dtype=object),
        task=lambda spec: JointTask(resident, TRAIN, VAL, spec),
    )
    return JointStudy(arms, data, SIDE, fabric)


def arms_of_study():
    augment = {f"augment.{name}": value for name, value in spec().augmentation._asdict().items()}
    recipe = ARCHITECTURE._asdict() | augment | {"size": SIDE, "epochs": 1, "coarse_epochs": 0, "batch_size": 2}
    recipe |= {key: value for key, value in vars(settings()).items() if key not in ("name", "seed", "ema_decays")}
    recipe |= {"ema_decay": 0.9}
    return {
        "full": recipe,
        "radiomics": {"grader": "radiomics"},
        "no_dropout": recipe | {"augment.modality_dropout": 0.0},
        "segmentation_only": recipe | {"grading": "none"},
        "resnet10": recipe | {"grader": "resnet10"},
    }


def assert_same_arms(some, others):
    for one, other in zip(some, others, strict=True):
        assert_same(one.net.state_dict(), other.net.state_dict())
        assert one.history == other.history
        assert (one.grader is None) == (other.grader is None) == (one.arm != "radiomics")
        if one.grader:
            np.testing.assert_array_equal(one.grader.model[-1].coef_, other.grader.model[-1].coef_)


def test_study_gives_the_same_results_in_parallel_sequentially_and_resumed(volumes, fabric, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    resident, arms = volumes(), arms_of_study()
    study = study_of(resident, fabric, arms)
    beside = list(study.train([1, 0]))
    assert [(done.seed, done.arm) for done in beside] == [(seed, arm) for seed in (1, 0) for arm in arms]
    with monkeypatch.context() as patch:
        patch.setattr(joint_module.JointTask, "batch", None)  # all networks are restored, none is trained
        assert_same_arms(beside, list(study_of(resident, fabric, arms).train([1, 0])))
    study.forget()
    assert not list(tmp_path.rglob("*.safetensors"))
    monkeypatch.setattr(joint_study, "side_by_side", map)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    after = list(study_of(resident, fabric, arms).train([1, 0]))
    torch.set_num_threads(threads)
    assert_same_arms(beside, after)


def test_arms_with_equal_batches_train_in_one_job_whatever_their_network(volumes, fabric):
    jobs = study_of(volumes(), fabric, arms_of_study())._jobs(0)
    assert [[own.name for own, _ in job.arms] for job in jobs] == [
        ["full", "segmentation_only", "resnet10"],
        ["no_dropout"],
    ]
    assert jobs[0].arms[2][1].architecture == PlainArchitecture("resnet10", ARCHITECTURE.width)


def test_flip_tta_of_an_arm_holds_for_its_network_of_either_kind(volumes, fabric):
    arms = {name: recipe | {"flip_tta": name != "resnet10"} for name, recipe in arms_of_study().items()}
    nets = {own.name: net for job in study_of(volumes(), fabric, arms)._jobs(0) for own, net in job.arms}
    assert [name for name, net in nets.items() if not net.architecture.flip_tta] == ["resnet10"]


def test_radiomics_is_fitted_to_the_masks_of_the_training_cases(volumes, fabric, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    resident, asked = volumes(("LGG", "HGG", "", "HGG", "LGG", "HGG", "LGG", "HGG")), []

    def predicted(net, case, window):
        asked.append((case.name, net))
        return predict_case(net, case, window)

    monkeypatch.setattr(joint_study, "predict_case", predicted)
    found = {done.arm: done for done in study_of(resident, fabric, arms_of_study()).train([0])}
    assert [name for name, _ in asked] == ["c0", "c1", "c3", "c4", "c5"]  # c2 has no grade; 6 and 7 are for validation
    radiomics, masks = found["radiomics"], found["segmentation_only"]
    assert {net for _, net in asked} == {masks.net} == {radiomics.net}
    assert radiomics.history == [] and masks.grader is None


def test_a_failed_segmentation_fails_radiomics_with_its_reason(volumes, fabric, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arms = arms_of_study()
    arms["segmentation_only"] |= {"learning_rate": 1e18, "clip_norm": 0.0}
    found = {done.arm: done for done in study_of(volumes(), fabric, arms).train([0])}
    assert found["radiomics"].failed.startswith("segmentation_only failed: the loss became")
    assert found["radiomics"].grader is None
    assert not found["full"].failed and not found["resnet10"].failed


def test_too_few_patients_for_radiomics_are_refused_before_training(volumes, fabric):
    resident = volumes(("LGG", "HGG", "", "HGG", "", "HGG", "LGG", "HGG"))
    with pytest.raises(InputError, match=r"'radiomics' needs 2 training patients of each grade, found 1 with LGG"):
        study_of(resident, fabric, arms_of_study())
    arms = {name: recipe for name, recipe in arms_of_study().items() if name != "radiomics"}
    assert study_of(resident, fabric, arms).radiomics == []


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
