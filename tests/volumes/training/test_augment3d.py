"""Volume augmentation by hand."""

import math

import torch

from btlib.volumes.training import augment as augment3d

STILL = augment3d.Strength(0, 0, 0, 0, 0, 0, 0, 0, 0)


def cubes(batch=2, side=8):
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(batch, 4, side, side, side, generator=generator)
    images[..., 0] = 0  # outside the brain
    return images, (torch.rand(batch, 3, side, side, side, generator=generator) > 0.5).float()


def changed(images, regions, **strength):
    draws = augment3d.draw(STILL._replace(**strength), len(images), images.shape[1], (0, 1))
    return augment3d.apply(images, regions, draws)


def test_no_strength_changes_nothing_and_flip_is_left_right():
    images, regions = cubes()
    for strength, flipped in ((0.0, False), (1.0, True)):
        new, moved = changed(images, regions, flip=strength)
        assert torch.equal(new, images.flip(2) if flipped else images)
        assert torch.equal(moved, regions.flip(2) if flipped else regions)


def test_quarter_turn_and_shift_are_exact():
    images, regions = cubes(1)
    still = augment3d.draw(STILL, 1, 4, (0,))
    angles = torch.tensor([[math.pi / 2], [0.0], [0.0]])
    matrix = augment3d._matrices(angles, torch.ones(1), torch.zeros(3, 1))
    new, moved = augment3d.apply(images, regions, still._replace(matrix=matrix, moved=torch.tensor([True])))
    # affine_grid's first coordinate is the last axis: rotation about it mixes the first two spatial axes
    assert any(torch.allclose(new, images.rot90(k, (2, 3)), atol=1e-4) for k in (1, 3))
    assert any(torch.equal(moved, regions.rot90(k, (2, 3))) for k in (1, 3))
    matrix = augment3d._matrices(torch.zeros(3, 1), torch.ones(1), torch.tensor([[0.0], [0.0], [0.25]]))
    _, moved = augment3d.apply(images, regions, still._replace(matrix=matrix, moved=torch.tensor([True])))
    assert torch.equal(moved[:, :, 2:], regions[:, :, :-2])
    assert (moved[:, :, :2] == 0).all()


def test_size_grows():
    regions = torch.zeros(1, 3, 32, 32, 32)
    regions[..., 12:20, 12:20, 12:20] = 1
    matrix = augment3d._matrices(torch.zeros(3, 1), torch.tensor([1.5]), torch.zeros(3, 1))
    still = augment3d.draw(STILL, 1, 4, (0,))
    _, moved = augment3d.apply(
        torch.zeros(1, 4, 32, 32, 32), regions, still._replace(matrix=matrix, moved=torch.tensor([True]))
    )
    assert moved[0, 0].sum().item() == 12**3


def test_intensity_changes_only_inside_the_brain():
    images, regions = cubes()
    new, same = changed(images, regions, brightness=0.3, contrast=0.2, noise=0.1)
    assert torch.equal(same, regions)
    assert (new[images == 0] == 0).all()
    plain, _ = changed(images, regions, brightness=0.3, contrast=0.2)
    inside = images != 0
    for modality in range(4):
        x, y = images[0, modality][inside[0, modality]], plain[0, modality][inside[0, modality]]
        slope = (y[1] - y[0]) / (x[1] - x[0])
        assert 0.8 <= slope <= 1.2
        torch.testing.assert_close(y, slope * x + (y[0] - slope * x[0]), atol=1e-4, rtol=1e-4)


def test_modality_dropout_keeps_at_least_one():
    draws = augment3d.draw(STILL._replace(modality_dropout=0.9), 500, 4, (0,))
    assert draws.kept.any(dim=1).all()
    assert abs(draws.kept.float().sum(1).mean() - (4 * 0.1 + 0.9**4)) < 0.15
    images, regions = cubes(1)
    new, _ = augment3d.apply(
        images, regions, augment3d.draw(STILL, 1, 4, (0,))._replace(kept=torch.tensor([[1, 0, 1, 0]]).bool())
    )
    assert torch.equal(new[:, ::2], images[:, ::2])
    assert (new[:, 1::2] == 0).all()


def test_draws_are_keyed():
    strength = augment3d.Strength(0.5, 0.5, 10, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1)
    a, b, c = (augment3d.draw(strength, 3, 4, key) for key in ((0, 1), (0, 1), (0, 2)))
    assert torch.equal(a.matrix, b.matrix)
    assert not torch.equal(a.matrix, c.matrix)
