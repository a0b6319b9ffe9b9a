"""Encoder features of a volume as one vector of means."""

import numpy as np
import torch

from btlib.volumes.data.store import Case
from btlib.volumes.nets.features import encoder_features
from btlib.volumes.nets.network import JointArchitecture, build_joint
from btlib.volumes.nets.windows import Window

NET = build_joint(JointArchitecture(width=8, attention=False, segmentation=False, grading="global", dropout=0.0), 0)


def make_case(image):
    return Case("c", np.float16(image), None, np.eye(4), np.eye(4), image.shape[1:])


def noise(side):
    return np.random.default_rng(0).normal(size=(4, side, side, side))


def test_means_of_every_level_of_the_encoder():
    case = make_case(noise(16))
    found = encoder_features(NET, case, Window(16, 16))
    with torch.inference_mode():
        plain = torch.from_numpy(case.image).float()[None]
        halves = [NET.encode(volume) for volume in (plain, plain.flip(2))]
    levels = [[*one.skips, one.bottleneck] for one in halves]
    means = [np.concatenate([level.numpy()[0].mean(axis=(1, 2, 3)) for level in one]) for one in levels]
    assert found.shape == (7 * 8,)
    np.testing.assert_allclose(found, (means[0] + means[1]) / 2, atol=1e-5)


def test_mirrored_head_has_the_same_features():
    image = noise(16)
    mirrored = encoder_features(NET, make_case(image[:, ::-1]), Window(16, 16))
    np.testing.assert_allclose(mirrored, encoder_features(NET, make_case(image), Window(16, 16)), atol=1e-5)


def test_one_view_without_flips():
    net, case = build_joint(NET.architecture._replace(flip_tta=False), 0), make_case(noise(16))
    with torch.inference_mode():
        encoded = net.encode(torch.from_numpy(case.image).float()[None])
    means = [level.numpy()[0].mean(axis=(1, 2, 3)) for level in (*encoded.skips, encoded.bottleneck)]
    np.testing.assert_allclose(encoder_features(net, case, Window(16, 16)), np.concatenate(means), atol=1e-5)


def test_large_head_is_the_mean_of_its_windows():
    image = np.tile(noise(8), (1, 3, 1, 1))  # five windows along x, half overlapping
    halves = [image[:, start : start + 8] for start in range(0, 17, 4)]
    each = [encoder_features(NET, make_case(half), Window(8, 8)) for half in halves]
    np.testing.assert_allclose(encoder_features(NET, make_case(image), Window(8, 8)), np.mean(each, axis=0), atol=1e-5)
