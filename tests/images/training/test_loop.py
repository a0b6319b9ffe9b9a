import re
from dataclasses import asdict

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from btlib.core.runtime.artifacts import write_tensors
from btlib.core.runtime.errors import InputError
from btlib.core.training.arms import Progress
from btlib.core.training.loop import refuse_failed
from btlib.core.training.resume import ResumeState, SavedRun, run_hash
from btlib.images.training.learner import train_arms
from tests.images.training.make import make_settings, make_spec


def weights(arm):
    return {name: tensor.clone() for name, tensor in arm.net.state_dict().items()}


def assert_same(a, b):
    assert a.keys() == b.keys()
    different = [name for name in a if not torch.equal(a[name], b[name])]
    assert not different, different


class Stop(Exception):
    pass


@pytest.mark.parametrize("unfreeze", [0.0, 0.5, 1.0])
def test_training_learns_an_easy_task(task, make_net, fabric, unfreeze):
    spec = make_spec(epochs=12, unfreeze_fraction=unfreeze)
    (arm,) = train_arms([(make_settings(), make_net())], *task, spec, fabric)
    progress = arm.readouts[0].progress
    first, best = progress.history[0], progress.history[progress.best_epoch]
    assert best["val_loss"] < first["val_loss"]
    assert best["val_accuracy"] >= 0.9


def test_only_the_unfrozen_part_changes(task, make_net, fabric):
    net = make_net()
    before = {name: t.clone() for name, t in net.state_dict().items()}
    (arm,) = train_arms([(make_settings(), net)], *task, make_spec(unfreeze_fraction=0.5), fabric)
    changed = {name for name, t in net.state_dict().items() if not torch.equal(t, before[name])}
    assert changed <= set(arm.trained)
    assert any(name.startswith("backbones.0") for name in changed)
    assert any(name.startswith("backbones.1") for name in changed)
    assert not any("bn" in name for name in changed)
    assert not any("stem" in name for name in changed)


def test_batchnorm_statistics_train_on_request(task, make_net, fabric):
    net = make_net()
    before = {name: t.clone() for name, t in net.state_dict().items()}
    train_arms([(make_settings(), net)], *task, make_spec(unfreeze_fraction=1.0, train_batchnorm=True), fabric)
    changed = {name for name, t in net.state_dict().items() if not torch.equal(t, before[name])}
    assert {"backbones.0.net.bn1.weight", "backbones.0.net.bn1.running_mean"} <= changed
    assert "backbones.0.net.bn1.num_batches_tracked" in changed
    assert not any(module.training for module in net.modules())


@pytest.mark.parametrize("unfreeze", [0.0, 0.5])
def test_arm_is_bit_equal_alone_with_others_and_reordered(task, make_net, fabric, unfreeze):
    spec = make_spec(unfreeze_fraction=unfreeze)
    settings = {
        "a": make_settings(name="a"),
        "b": make_settings(name="b", focal_gamma=0.0, learning_rate=1e-2, ema_decays=(0.0,), clip_norm=0.5),
        "c": make_settings(name="c", loss="cross_entropy", optimizer="adamw", weight_decay=0.1),
    }
    fusions = {"a": "gated_cross_attention", "b": "concatenation", "c": "gated_cross_attention"}

    def train(names):
        runs = train_arms([(settings[n], make_net(fusion=fusions[n])) for n in names], *task, spec, fabric)
        return {arm.settings.name: weights(arm) for arm in runs}

    together, reordered = train("abc"), train("ca")
    for name in "abc":
        assert_same(train(name)[name], together[name])
    for name in "ca":
        assert_same(reordered[name], together[name])


def test_diverging_arm_is_reported_and_others_are_unaffected(task, make_net, fabric):
    good, bad = make_settings(name="good"), make_settings(name="bad", learning_rate=1e30, schedule="constant")
    runs = train_arms([(good, make_net()), (bad, make_net())], *task, make_spec(), fabric)
    assert "became" in runs[1].failed
    (alone,) = train_arms([(good, make_net())], *task, make_spec(), fabric)
    assert_same(weights(runs[0]), weights(alone))
    (lost,) = train_arms([(bad, make_net())], *task, make_spec(), fabric)
    with pytest.raises(InputError, match=r"training diverged \(bad: .*smaller lr_stage1"):
        refuse_failed(lost, "lr_stage1 or lr_stage2")
    refuse_failed(alone, "lr_stage1 or lr_stage2")


def test_arms_stop_early_independently(task, make_net, fabric):
    still = make_settings(name="still", learning_rate=1e-12, schedule="constant", patience=2)
    runs = train_arms([(still, make_net()), (make_settings(name="b"), make_net())], *task, make_spec(epochs=6), fabric)
    still, moving = (run.readouts[0].progress for run in runs)
    assert still.stopped and len(still.history) < 6
    assert len(moving.history) == 6


def test_the_last_epoch_is_kept_on_request_even_when_an_earlier_one_was_better(task, make_net, fabric):
    """From trained weights, a learning rate far too high makes every epoch worse."""
    (learned,) = train_arms([(make_settings(), make_net())], *task, make_spec(epochs=12), fabric)
    start = {name: tensor.clone() for name, tensor in learned.net.state_dict().items()}
    runs = {}
    for keep in ("best", "last"):
        net = make_net()
        net.load_state_dict(start)
        settings = make_settings(learning_rate=0.3, schedule="constant", patience=2, keep_epoch=keep, ema_decays=(0.0,))
        (runs[keep],) = train_arms([(settings, net)], *task, make_spec(epochs=6), fabric)
    best, last = (runs[keep].readouts[0].progress for keep in ("best", "last"))
    assert best.best_epoch < len(best.history) - 1, "the test needs a best epoch before the last"
    assert last.best_epoch == len(last.history) - 1 == 5
    for arm, progress in zip(runs.values(), (best, last), strict=True):
        data, _, rows = task
        with torch.no_grad():
            found = cross_entropy(arm.net(data.batch(rows)), data.labels[rows]).item()
        assert found == pytest.approx(progress.history[progress.best_epoch]["val_loss"], rel=1e-4)


@pytest.mark.parametrize("batchnorm", [False, True])
def test_an_interrupted_run_resumes_to_bit_equal_weights(task, make_net, fabric, tmp_path, batchnorm):
    spec = make_spec(epochs=4, unfreeze_fraction=0.5, train_batchnorm=batchnorm)
    (whole,) = train_arms([(make_settings(), make_net())], *task, spec, fabric)
    resume = ResumeState("stage", "hash", tmp_path)

    def stop_after_two(arm, row):
        if row["epoch"] == 2:
            raise Stop

    with pytest.raises(Stop):
        train_arms([(make_settings(), make_net())], *task, spec, fabric, resume, stop_after_two)
    assert resume.load()[1].epoch == 2
    replayed = []
    (resumed,) = train_arms(
        [(make_settings(), make_net())], *task, spec, fabric, resume, lambda arm, row: replayed.append(row["epoch"])
    )
    assert_same(weights(resumed), weights(whole))
    assert resumed.plain_state() == whole.plain_state()
    assert replayed == [0, 1, 2, 3]
    tensors, saved = resume.load()
    assert saved.epoch == 4 and all(":best/" in name for name in tensors), "a finished run keeps its best weights only"
    (again,) = train_arms([(make_settings(), make_net())], *task, spec, fabric, resume)
    assert_same(weights(again), weights(whole))


def test_two_readouts_of_one_run_equal_two_runs(task, make_net, fabric):
    """EMA never feeds back: the averages of one run equal those of separate runs."""
    spec = make_spec(epochs=4, unfreeze_fraction=0.5)
    (both,) = train_arms([(make_settings(ema_decays=(0.9, 0.0), patience=2), make_net())], *task, spec, fabric)
    for readout, decay in zip(both.readouts, (0.9, 0.0), strict=True):
        (alone,) = train_arms([(make_settings(ema_decays=(decay,), patience=2), make_net())], *task, spec, fabric)
        both.restore(readout)
        assert_same(weights(both), weights(alone))
        assert readout.progress == alone.readouts[0].progress


def test_arm_name_does_not_affect_training(task, make_net, fabric):
    runs = train_arms([(make_settings(name=n), make_net()) for n in "ab"], *task, make_spec(), fabric)
    assert_same(weights(runs[0]), weights(runs[1]))


def test_gradients_are_clipped_arm_by_arm(task, make_net, fabric):
    free, tight = make_settings(name="free"), make_settings(name="tight", clip_norm=1e-3, optimizer="adam")
    spec = make_spec(epochs=1)
    both = train_arms([(free, make_net()), (tight, make_net())], *task, spec, fabric)
    for arm, settings in zip(both, (free, tight), strict=True):
        (alone,) = train_arms([(settings, make_net())], *task, spec, fabric)
        assert_same(weights(arm), weights(alone))
    assert not torch.equal(both[0].net.linear.weight, both[1].net.linear.weight)


@pytest.fixture
def unfinished(task, make_net, fabric, tmp_path):
    """The state of a run of two epochs after the first."""
    resume = ResumeState("stage", "hash", tmp_path)

    def stop(arm, row):
        if row["epoch"] == 1:
            raise Stop

    with pytest.raises(Stop):
        train_arms([(make_settings(), make_net())], *task, make_spec(epochs=2), fabric, resume, stop)
    return resume


def test_a_flipped_bit_in_the_state_changes_no_result(task, make_net, fabric, unfinished, capsys):
    whole = unfinished.path.read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    places = [0, 7, 9, *(whole.index(word.encode()) + 3 for word in ("__metadata__", "checksum", "epoch", "F32"))]
    places += [int(place) for place in np.linspace(header, len(whole) - 1, 30)]
    for number, place in enumerate(places):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << number % 8
        unfinished.path.write_bytes(damaged)
        assert unfinished.load() is None, f"byte {place}"
        assert not unfinished.path.exists()
        (line,) = capsys.readouterr().out.splitlines()
        assert re.fullmatch(rf"{re.escape(str(unfinished.path))}: damaged \(.+\); .* training starts over", line)
    (straight,) = train_arms([(make_settings(), make_net())], *task, make_spec(epochs=2), fabric)
    unfinished.path.write_bytes(damaged)
    (anew,) = train_arms([(make_settings(), make_net())], *task, make_spec(epochs=2), fabric, unfinished)
    assert_same(weights(anew), weights(straight))
    assert anew.plain_state() == straight.plain_state()


@pytest.mark.parametrize("content", [b"", b"no state", b"\xff" * 100, bytes(1000)])
def test_invalid_state_is_removed(content, tmp_path, capsys):
    resume = ResumeState("stage", "hash", tmp_path)
    resume.path.parent.mkdir()
    resume.path.write_bytes(content)
    assert resume.load() is None
    assert "starts over" in capsys.readouterr().out
    assert list(resume.path.parent.iterdir()) == []


@pytest.mark.parametrize(
    "metadata",
    [{}, {"state": "{}"}, {"checksum": "0"}, {"state": "[[[", "checksum": "0"}, {"state": '{"epoch": -1}'}],
)
def test_state_of_another_format_is_removed(metadata, tmp_path, capsys):
    """As left by an earlier version."""
    resume = ResumeState("stage", "hash", tmp_path)
    write_tensors(resume.path, {"x": torch.arange(10.0)}, metadata)
    assert resume.load() is None
    assert "starts over" in capsys.readouterr().out
    assert not resume.path.exists()


def test_state_round_trip(tmp_path):
    progress = Progress(best_loss=0.1, best_epoch=1, history=[{"epoch": 0, "val_loss": 1 / 3, "note": None}])
    arm = {"steps": 7, "failed": "", "readouts": [asdict(progress), asdict(Progress())]}
    tensors = {
        "a": torch.rand(3, 4).T,
        "step": torch.tensor(7.0),
        "flag": torch.tensor([True, False]),
        "empty": torch.zeros(0, 3),
        "half": torch.tensor([1 / 3, float("nan")], dtype=torch.bfloat16),
    }
    resume = ResumeState("stage", "hash", tmp_path)
    resume.save(tensors, SavedRun(epoch=2, arms=[arm]))
    back, saved = resume.load()
    assert saved.epoch == 2 and saved.arms[0].readouts == [progress, Progress()]
    assert saved.arms[0].model_dump() == arm
    assert all(
        torch.equal(back[n].view(-1).view(torch.uint8), t.reshape(-1).view(torch.uint8)) for n, t in tensors.items()
    )


def test_the_run_hash_depends_on_settings_data_and_files(tmp_path):
    file = tmp_path / "w"
    file.write_bytes(b"1")
    rows = np.arange(3)
    base = run_hash((make_settings(), make_spec()), [rows], [file])
    assert base == run_hash((make_settings(), make_spec()), [rows.copy()], [file])
    others = {
        run_hash((make_settings(focal_gamma=1.0), make_spec()), [rows], [file]),
        run_hash((make_settings(), make_spec(mixup_alpha=0.4)), [rows], [file]),
        run_hash((make_settings(), make_spec()), [rows[::-1]], [file]),
    }
    file.write_bytes(b"2")
    others.add(run_hash((make_settings(), make_spec()), [rows], [file]))
    assert len(others | {base}) == 5


def test_too_few_images_for_a_batch(task, make_net, fabric):
    data, train, val = task
    with pytest.raises(InputError, match="batch_size: 8 is more than the 5 training images"):
        train_arms([(make_settings(), make_net())], data, train[:5], val, make_spec(), fabric)


def test_memory_of_the_trunk_is_shared(task, make_net, fabric):
    nets = [make_net(0), make_net(1)]
    train_arms(
        [(make_settings(name="a"), nets[0]), (make_settings(name="b"), nets[1])], *task, make_spec(epochs=1), fabric
    )
    a, b = (net.backbones[0].net.conv_stem.weight for net in nets)
    assert a.data_ptr() == b.data_ptr()
    assert nets[0].linear.weight.data_ptr() != nets[1].linear.weight.data_ptr()
