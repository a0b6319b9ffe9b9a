"""Augmentation, Mixup, EMA, schedules, resident images, DVCLive's folder."""

import json

import numpy as np
import pytest
import torch

from btlib.core.runtime.artifacts import write_figure
from btlib.core.runtime.errors import InputError
from btlib.core.training.curves import live_curves
from btlib.core.training.ema import Ema
from btlib.core.training.schedule import learning_rate
from btlib.images.data.resident import ResidentImages
from btlib.images.nets.inference import predict
from btlib.images.training import augment, mixup
from btlib.report.figures.curves import curves_figure
from btlib.report.figures.training import mixup_figure, views_figure


def test_flips_are_torchs_flips_and_zero_strength_changes_nothing():
    images = torch.rand(6, 3, 5, 4)
    for strength, dims in (((1, 0, 0, 0), [3]), ((0, 1, 0, 0), [2]), ((1, 1, 0, 0), [2, 3]), ((0, 0, 0, 0), [])):
        out = augment.apply(images, augment.draw(augment.Strength(*strength), 6, (0,)))
        torch.testing.assert_close(out, images.flip(dims))


def one_draw(**changes):
    """Draws for one image, neutral except for the given ones."""
    still = {"horizontal": False, "vertical": False, "contrast": 1.0, "size": 1.0, "exponent": 1.0}
    values = dict.fromkeys(augment.Draws._fields[:-1], 0.0) | still | changes
    return augment.Draws(*(torch.tensor([value]) for value in values.values()), noise_seed=7)


def test_draws_stay_in_their_ranges():
    strength = augment.Strength(0.5, 0.25, 0.1, 0.2, rotation=30, zoom=0.25, shift=0.05, gamma=0.5, noise=0.03)
    draws = augment.draw(strength, 5000, (0, 1))
    assert abs(draws.horizontal.float().mean() - 0.5) < 0.03 and abs(draws.vertical.float().mean() - 0.25) < 0.03
    ends = {"brightness": (-0.1, 0.1), "contrast": (0.8, 1.2), "angle": (-np.pi / 6, np.pi / 6), "size": (0.8, 1.25)}
    ends |= {"right": (-0.05, 0.05), "down": (-0.05, 0.05), "exponent": (1 / 1.5, 1.5), "deviation": (0, 0.03)}
    for name, (low, high) in ends.items():
        values = getattr(draws, name)
        assert low - 1e-6 <= values.min() < low + 0.01 * (high - low), name
        assert high - 0.01 * (high - low) < values.max() <= high + 1e-6, name


def test_brightness_contrast_and_gamma_by_hand():
    image = torch.full((1, 3, 2, 2), 0.5)
    image[..., 0] = 0.3
    out = augment.apply(image, one_draw(brightness=0.1, contrast=2.0))  # mean 0.4: 0.4 ± 0.2 + 0.1
    torch.testing.assert_close(out[0, 0, 0], torch.tensor([0.3, 0.7]))
    torch.testing.assert_close(augment.apply(image, one_draw(exponent=2.0)), image**2)
    assert (augment.apply(image, one_draw(brightness=0.9)) == 1).all()


def test_spatial_transforms_by_hand():
    image = torch.rand(1, 3, 8, 8)
    turned = augment.apply(image, one_draw(angle=np.pi / 2))
    assert any(torch.allclose(turned, image.rot90(k, (2, 3)), atol=1e-5) for k in (1, 3))
    right = augment.apply(image, one_draw(right=0.25))
    torch.testing.assert_close(right[..., 2:], image[..., :-2], atol=1e-5, rtol=0)
    assert (right[..., :2] == 0).all()
    down = augment.apply(image, one_draw(down=0.25))
    torch.testing.assert_close(down[:, :, 2:], image[:, :, :-2], atol=1e-5, rtol=0)
    square = torch.zeros(1, 1, 64, 64)
    square[..., 24:40, 24:40] = 1
    assert augment.apply(square, one_draw(size=2.0)).sum() == pytest.approx(4 * 256, rel=0.05)
    assert augment.apply(square, one_draw(size=0.5)).sum() == pytest.approx(256 / 4, rel=0.15)
    torch.testing.assert_close(augment.apply(image, one_draw()), image)


def test_spatial_transforms_preserve_fine_detail():
    """Shifted by half a pixel, noise keeps 0.85 of its deviation with Keys' cubic (a = -0.75), 0.71 if bilinear."""
    image = 0.5 + 0.1 * torch.rand(1, 1, 64, 64)
    moved = augment.apply(image, one_draw(right=0.5 / 64))[..., 2:-2]
    weights = np.array([-0.09375, 0.59375, 0.59375, -0.09375])
    assert moved.std() / image.std() == pytest.approx(np.sqrt((weights**2).sum()), rel=0.03)


def test_noise_is_keyed_gray_and_has_its_deviation():
    image = torch.full((1, 3, 64, 64), 0.5)
    noisy = augment.apply(image, one_draw(deviation=0.05))
    assert noisy.std() == pytest.approx(0.05, rel=0.05)
    assert torch.equal(noisy[:, 0], noisy[:, 2])
    assert torch.equal(noisy, augment.apply(image, one_draw(deviation=0.05)))
    assert not torch.equal(noisy, augment.apply(image, one_draw(deviation=0.05)._replace(noise_seed=8)))


def test_draws_depend_only_on_the_key():
    strength = augment.Strength(0.5, 0.5, 0.1, 0.1)
    first = augment.draw(strength, 8, (0, 1, 2))
    torch.rand(5)
    assert torch.equal(first.brightness, augment.draw(strength, 8, (0, 1, 2)).brightness)
    assert not torch.equal(first.brightness, augment.draw(strength, 8, (0, 1, 3)).brightness)


def test_mixup_follows_equation_3():
    x, pairs = torch.rand(4, 3, 2, 2), mixup.Pairs(torch.tensor([1.0, 0.25, 0.5, 0.0]), torch.tensor([3, 2, 1, 0]))
    mixed = mixup.mix(x, pairs)
    torch.testing.assert_close(mixed[1], 0.25 * x[1] + 0.75 * x[2])
    torch.testing.assert_close(mixed[3], x[0])
    labels = mixup.mix(torch.eye(4), pairs)
    torch.testing.assert_close(labels.sum(1), torch.ones(4))
    assert labels[1].tolist() == [0, 0.25, 0.75, 0]


def test_mixup_draws_from_the_beta_distribution():
    weight = mixup.draw(0.2, 20000, (0,)).weight.numpy()
    assert abs(weight.mean() - 0.5) < 0.01
    assert abs(weight.var() - 1 / (4 * (2 * 0.2 + 1))) < 0.005  # var of Beta(α, α)
    off = mixup.draw(0.0, 8, (0,))
    x = torch.rand(8, 3)
    assert torch.equal(mixup.mix(x, off), x)


def test_ema_by_hand_with_warm_up_and_integer_buffers():
    live = {"w": torch.tensor([1.0]), "n": torch.tensor(3)}
    ema = Ema(live, 0.999)
    live["w"].fill_(2.0)
    live["n"].fill_(4)
    ema.update()  # β = min(0.999, 1 / 10)
    assert ema.average["w"].item() == pytest.approx(0.1 * 1 + 0.9 * 2)
    ema.update()  # β = 2 / 11
    assert ema.average["w"].item() == pytest.approx(2 / 11 * 1.9 + 9 / 11 * 2)
    assert ema.average["n"].item() == 4
    with ema.applied():
        assert live["w"].item() == pytest.approx(ema.average["w"].item())
    assert live["w"].item() == 2.0


def test_ema_reaches_its_decay_and_zero_follows():
    live = {"w": torch.zeros(1)}
    slow, off = Ema(live, 0.5), Ema(live, 0.0)
    for step in range(20):
        live["w"].fill_(float(step))
        before = slow.average["w"].item()
        slow.update()
        off.update()
    assert slow.average["w"].item() == pytest.approx(0.5 * before + 0.5 * 19)
    assert off.average["w"].item() == 19


def test_schedules_are_torchs():
    total, peak = 50, 0.01
    parameter = torch.nn.Parameter(torch.zeros(1))
    for kind, make in (
        ("one_cycle", lambda o: torch.optim.lr_scheduler.OneCycleLR(o, peak, total_steps=total)),
        ("cosine", lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, total)),
        ("constant", lambda o: torch.optim.lr_scheduler.LambdaLR(o, lambda step: 1.0)),
    ):
        optimizer = torch.optim.SGD([parameter], lr=peak)
        scheduler = make(optimizer)
        for step in range(total):
            assert learning_rate(kind, peak, step, total) == pytest.approx(optimizer.param_groups[0]["lr"]), (
                kind,
                step,
            )
            optimizer.step()
            if step < total - 1:
                scheduler.step()


def test_resident_images_refuse_other_arrays():
    with pytest.raises(InputError, match=r"found float64 \(2, 4, 4, 3\) with 2 labels, expected uint8"):
        ResidentImages(np.zeros((2, 4, 4, 3)), np.zeros(2), torch.device("cpu"))


def test_batch_contains_the_pixels(task):
    data = task[0]
    batch = data.batch(np.array([5, 3]))
    assert batch.shape == (2, 3, 32, 32)
    expected = torch.from_numpy(data._images[3]).permute(2, 0, 1) / 255
    torch.testing.assert_close(batch[1], expected)


def test_predictions_are_softmax_probabilities_for_any_batch_size(task, make_net):
    net, images = make_net(), task[0]._images[:7]
    whole = predict(net, images)
    assert whole.dtype == np.float64
    np.testing.assert_allclose(whole.sum(1), 1)
    np.testing.assert_allclose(np.concatenate([predict(net, images[:2]), predict(net, images[2:])]), whole, atol=1e-6)


def test_dvclive_writes_only_into_its_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with live_curves(tmp_path / "curves", True) as on_epoch:
        for epoch in range(2):
            on_epoch("main", {"epoch": epoch, "val_accuracy": 0.5 + epoch / 4})
    assert json.loads((tmp_path / "curves/metrics.json").read_text())["main"]["val_accuracy"] == 0.75
    rows = (tmp_path / "curves/plots/metrics/main/val_accuracy.tsv").read_text().splitlines()
    assert [row.split("\t")[-1] for row in rows] == ["val_accuracy", "0.5", "0.75"]
    assert [path.name for path in tmp_path.iterdir()] == ["curves"]


def test_pictures_are_drawn(task, tmp_path):
    row = {"epoch": 0, "train_loss": 1.0, "val_loss": 1.0, "train_accuracy": 0.5, "val_accuracy": 0.5}
    strength = augment.Strength(0.5, 0.5, 0.1, 0.1)
    figures = {
        "curves": curves_figure({"stage": "stage1", "history": [row]}, "accuracy"),
        "views": views_figure(task[0], np.arange(2), strength, 0),
        "mixup": mixup_figure(task[0], np.arange(3), 0.2, 0),
    }
    assert figures["curves"].get_suptitle() == "stage1: training and validation"
    for name, figure in figures.items():
        write_figure(tmp_path / f"{name}.png", figure)
        assert (tmp_path / f"{name}.png").stat().st_size > 3000
