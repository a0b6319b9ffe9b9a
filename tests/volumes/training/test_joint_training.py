"""Training of joint networks: alone or with others, killed and resumed, with missing truth, and learning."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from btlib.core.runtime.errors import InputError
from btlib.core.runtime.reproducibility import keyed_rng
from btlib.core.runtime.workers import Shared, make_fabric
from btlib.core.training.resume import ResumeState
from btlib.volumes.data.store import save_case
from btlib.volumes.nets.inference import predict_case
from btlib.volumes.nets.network import build_joint
from btlib.volumes.nets.plain import PlainArchitecture, build_plain
from btlib.volumes.nets.windows import Window
from btlib.volumes.training import learner as joint_module
from btlib.volumes.training import study as joint_study
from btlib.volumes.training.augment import Strength
from btlib.volumes.training.learner import JointTask, drawn, train_joint_arms
from btlib.volumes.training.study import JointStudy, Material
from tests.volumes.training.joint_samples import ARCHITECTURE, SIDE, SLOWLY, make_case, settings, spec, write_cases

PLAIN = PlainArchitecture("resnet10", 8)
each_kind = pytest.mark.parametrize("architecture", [ARCHITECTURE, PLAIN], ids=["joint", "plain"])


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
                save_case(data.cases.paths[number], make_case(number + 2))
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


def study_of(volumes, fabric, arms):
    data = SimpleNamespace(
        volumes=volumes,
        arrays=[],
        train=TRAIN,
        phantoms=np.zeros(0, int),
        patients=np.array([f"c{number}" for number in range(8)], dtype=object),
        task=lambda spec: JointTask(volumes, TRAIN, VAL, spec),
    )
    return JointStudy(arms, Shared(lambda: Material(data, fabric)), SIDE)


def arms_of_study():
    augment = {f"augment.{name}": value for name, value in spec().augmentation._asdict().items()}
    recipe = (
        ARCHITECTURE._asdict()
        | augment
        | {"size": SIDE, "epochs": 1, "coarse_epochs": 0, "batch_size": 2, "accumulate": 1, "phantom_share": 0.0}
    )
    recipe |= {key: value for key, value in vars(settings()).items() if key not in ("name", "seed", "ema_decays")}
    recipe |= {"ema_decay": 0.9}
    return {
        "full": recipe,
        "radiomics": {"grader": "radiomics", "phantom_share": 0.0},
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
    data, arms = volumes(), arms_of_study()
    study = study_of(data, fabric, arms)
    beside = list(study.train([1, 0]))
    assert [(done.seed, done.arm) for done in beside] == [(seed, arm) for seed in (1, 0) for arm in arms]
    with monkeypatch.context() as patch:
        patch.setattr(joint_module.JointTask, "batch", None)  # all networks are restored, none is trained
        assert_same_arms(beside, list(study_of(data, fabric, arms).train([1, 0])))
    study.forget()
    assert not list(tmp_path.rglob("*.safetensors"))
    monkeypatch.setattr(joint_study, "side_by_side", map)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    after = list(study_of(data, fabric, arms).train([1, 0]))
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
    data, asked = volumes(("LGG", "HGG", "", "HGG", "LGG", "HGG", "LGG", "HGG")), []

    def predicted(net, case, window):
        asked.append((case.name, net))
        return predict_case(net, case, window)

    monkeypatch.setattr(joint_study, "predict_case", predicted)
    found = {done.arm: done for done in study_of(data, fabric, arms_of_study()).train([0])}
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
    data = volumes(("LGG", "HGG", "", "HGG", "", "HGG", "LGG", "HGG"))
    with pytest.raises(InputError, match=r"'radiomics' needs 2 training patients of each grade, found 1 with LGG"):
        study_of(data, fabric, arms_of_study())
    arms = {name: recipe for name, recipe in arms_of_study().items() if name != "radiomics"}
    assert study_of(data, fabric, arms).radiomics == []


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


PHANTOMS = np.arange(8, 28)


def mixed(share, phantoms=PHANTOMS, **changes):
    """A task whose rows are asked for, and never read."""
    return JointTask(None, TRAIN, VAL, spec(phantom_share=share, **changes), phantoms)


def order(task, epoch=0):
    return task.order(keyed_rng(0, epoch, "order"))


def test_without_a_share_of_phantoms_the_order_is_that_of_the_cases_alone():
    task = mixed(0.0)
    np.testing.assert_array_equal(order(task), keyed_rng(0, 0, "order").permutation(TRAIN))
    assert (task.samples, task.steps) == (6, 3) and task.train_rows.tolist() == TRAIN.tolist()


def test_phantoms_alone_are_all_seen_once_in_an_epoch():
    task = mixed(1.0)
    assert sorted(order(task)) == PHANTOMS.tolist() == task.train_rows.tolist()
    assert (task.samples, task.steps) == (20, 10)
    assert order(task).tolist() != order(task, 1).tolist()


@pytest.mark.parametrize(("share", "phantoms"), [(0.25, 2), (0.5, 6), (0.75, 18)])
def test_every_case_is_seen_once_in_an_epoch_beside_other_phantoms_each_time(share, phantoms):
    task = mixed(share)
    assert (task.samples, task.steps) == (6 + phantoms, 3 + phantoms // 2)
    assert task.train_rows.tolist() == [*TRAIN, *PHANTOMS]
    epochs = [order(task, epoch) for epoch in range(2)]
    made = [set(rows) & set(PHANTOMS) for rows in epochs]
    assert all(sorted(rows[rows < 8]) == TRAIN.tolist() for rows in epochs)
    assert [len(rows) for rows in made] == [phantoms] * 2 and made[0] != made[1]
    assert order(mixed(share), 1).tolist() == epochs[1].tolist()
    assert not any((rows[:6] < 8).all() for rows in epochs)  # shuffled


def test_few_phantoms_are_seen_about_equally_often():
    rows = order(mixed(0.75, PHANTOMS[:4]))
    assert len(rows) == 24 and sorted(np.unique(rows[rows >= 8], return_counts=True)[1]) == [4, 4, 5, 5]


def test_a_share_below_one_phantom_is_none():
    task = mixed(0.05)
    assert sorted(order(task)) == TRAIN.tolist() and task.samples == 6


def test_rows_that_training_may_draw():
    for share, parts in ((0.0, (6, 0)), (0.5, (6, 20)), (1.0, (0, 20))):
        assert tuple(map(len, drawn(share, TRAIN, PHANTOMS))) == parts


def with_phantoms(volumes, fabric, grades, share=0.5, without_seg=(), **changes):
    """Trains one epoch on six cases and as many phantoms as there are grades after the first eight."""
    data, phantoms = volumes(grades, without_seg), np.arange(8, len(grades))
    task = JointTask(data, TRAIN, VAL, spec(epochs=1, phantom_share=share, **changes), phantoms)
    (arm,) = train_joint_arms([(settings(), build_joint(ARCHITECTURE, 0))], task, fabric)
    return arm


def test_phantoms_make_up_for_a_grade_that_the_cases_lack(volumes, fabric, monkeypatch):
    seen, batch = [], JointTask.batch

    def watched(self, rows, key, mine):
        seen.extend(rows)
        return batch(self, rows, key, mine)

    monkeypatch.setattr(JointTask, "batch", watched)
    low = ("LGG",) * 8
    assert not with_phantoms(volumes, fabric, (*low, "HGG", "LGG")).failed
    assert len(seen) == 12 and sorted(set(seen)) == [*TRAIN, 8, 9]
    with pytest.raises(InputError, match="no training case has grade HGG; add grades"):
        with_phantoms(volumes, fabric, (*low, "LGG", "LGG"))
    with pytest.raises(InputError, match="no training case has grade HGG; add grades"):
        with_phantoms(volumes, fabric, (*low, "HGG", "LGG"), share=0.0)


def test_one_grade_suffices_for_validation_beside_phantoms_but_not_none(volumes, fabric):
    cases = ("LGG", "HGG") * 3
    assert not with_phantoms(volumes, fabric, (*cases, "HGG", "HGG", "LGG", "HGG")).failed
    with pytest.raises(InputError, match="no validation case has grade LGG; add grades"):
        with_phantoms(volumes, fabric, (*cases, "HGG", "HGG", "LGG", "HGG"), share=0.0)
    with pytest.raises(InputError, match="no validation case has grade LGG or HGG"):
        with_phantoms(volumes, fabric, (*cases, "", "", "LGG", "HGG"))


def test_phantoms_do_not_make_up_for_outlines_of_validation_cases(volumes, fabric):
    with pytest.raises(InputError, match="no validation case has a segmentation"):
        with_phantoms(volumes, fabric, ("LGG", "HGG") * 5, without_seg=(6, 7))


def test_phantoms_alone_need_no_training_case_with_truth(volumes, fabric):
    nothing = ("",) * 6
    arm = with_phantoms(volumes, fabric, (*nothing, "LGG", "HGG", "LGG", "HGG"), share=1.0, without_seg=range(6))
    assert not arm.failed


def test_too_few_samples_count_the_phantoms(volumes, fabric):
    grades = ("LGG", "HGG") * 5
    assert not with_phantoms(volumes, fabric, grades, batch_size=8).failed
    with pytest.raises(InputError, match=r"joint.batch_size: 8 is more than the 6 training cases"):
        with_phantoms(volumes, fabric, grades, share=0.0, batch_size=8)
    with pytest.raises(InputError, match=r"joint.batch_size: 8 is more than the 2 training cases"):
        with_phantoms(volumes, fabric, grades, share=1.0, batch_size=8)


def test_class_weights_are_those_of_the_rows_trained_on(volumes, fabric):
    """Three high-grade phantoms of four, and as many cases of either grade."""
    grades = (*("LGG", "HGG") * 4, "HGG", "HGG", "HGG", "LGG")
    low, high = with_phantoms(volumes, fabric, grades, share=1.0).learner.weights_K.tolist()
    assert low == pytest.approx(3 * high)
