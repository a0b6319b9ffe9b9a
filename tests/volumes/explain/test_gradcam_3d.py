"""3D Grad-CAM of the joint network against MONAI, and selection of cases and voxels."""

import numpy as np
import pandas as pd
import pytest
import torch
from monai.visualize import GradCAM
from torch import nn
from torch.nn import functional

from btlib.core.explain.gradcam import map_names, normalized, raw_maps, resized
from btlib.volumes.data.store import Case
from btlib.volumes.explain.maps import brain_of, cases_to_explain, grade_heat, heat_in_brain
from btlib.volumes.nets.network import JointArchitecture, build_joint
from btlib.volumes.nets.windows import Window


def joint(grading="regions", segmentation=True):
    return build_joint(JointArchitecture(8, segmentation, segmentation, grading, 0.2), seed=0)


@pytest.fixture
def volumes():
    return torch.from_numpy(np.random.default_rng(0).normal(size=(2, 4, 16, 16, 16))).float()


class Whole(nn.Module):
    """One stream as a plain network, for MONAI's hooks."""

    def __init__(self, net, stream):
        super().__init__()
        self.net, self.stream, self.layer = net, stream, nn.Identity()

    def forward(self, volumes):
        features = list(self.net.features(volumes))
        features[self.stream] = self.layer(features[self.stream])
        return self.net.head(tuple(features))


@pytest.mark.parametrize("stream", [0, 1])
def test_monai_agrees(volumes, stream):
    net, volumes = joint().double(), volumes.double()  # otherwise rounding of the sums would determine the tolerance
    monai = GradCAM(Whole(net, stream).eval(), target_layers="layer")
    hottest = 0.0
    for grade in (0, 1):
        theirs = torch.cat([monai.compute_map(one[None].requires_grad_(), class_idx=grade) for one in volumes])
        ours = raw_maps(net, volumes, torch.full((2,), grade)).backbones[stream]
        torch.testing.assert_close(ours, theirs[:, 0].detach(), rtol=1e-8, atol=1e-14)
        hottest = max(hottest, float(ours.max()))
    assert hottest > 0 and ours.shape[1:] == ((2, 2, 2), (8, 8, 8))[stream]


def test_resizing_matches_monais_trilinear_upsampling():
    maps = torch.rand(2, 2, 3, 4, generator=torch.Generator().manual_seed(0))
    theirs = functional.interpolate(maps[:, None], size=(6, 5, 9), mode="trilinear", align_corners=False)[:, 0]
    torch.testing.assert_close(resized(maps, (6, 5, 9)), theirs)
    assert resized(maps, (2, 3, 4)) is maps
    assert normalized(torch.stack([maps[0], 0 * maps[0]])).amax(dim=(1, 2, 3)).tolist() == [1, 0]


def test_single_window_is_the_cube_around_the_volume():
    """A brain smaller than the window is centred in it, and its maps have the original shape."""
    net, image = joint(), np.random.default_rng(1).normal(size=(4, 12, 16, 10)).astype(np.float16)
    cube = functional.pad(torch.from_numpy(image).float()[None], (3, 3, 0, 0, 2, 2))
    expected = resized(raw_maps(net, cube, torch.tensor([1])).fused, (16, 16, 16))[:, 2:14, :, 3:13]
    found = grade_heat(net, image, Window(16, 16), 1)
    assert tuple(found) == map_names(net) == ("encoder", "decoder", "fused")
    np.testing.assert_allclose(found["fused"], normalized(expected)[0].numpy(), rtol=1e-4, atol=1e-6)
    assert {heat.shape for heat in found.values()} == {(12, 16, 10)}
    assert {float(heat.max()) for heat in found.values()} <= {0.0, 1.0}


def test_network_with_global_features_has_one_map():
    image = np.random.default_rng(1).normal(size=(4, 16, 16, 16)).astype(np.float16)
    assert set(grade_heat(joint("global", segmentation=False), image, Window(16, 16), 0)) == {"encoder"}


class Corner(nn.Module):
    """Grade 1 is the mean of the first modality, grade 0 its negative."""

    backbone_names = ("pool",)

    def features(self, volumes):
        return (functional.avg_pool3d(volumes[:, :1], 4),)

    def head(self, features):
        evidence = features[0].mean(dim=(1, 2, 3, 4))
        return torch.stack([-evidence, evidence], dim=1)


@pytest.mark.parametrize("window", [Window(32, 32), Window(32, 16), Window(16, 16)])
def test_heat_is_at_the_evidence(window):
    """In one window, in a downsampled one, and in several."""
    image = np.zeros((4, 24, 32, 20), np.float16)
    image[0, 16:24, 4:12, 8:16] = 1
    heat = grade_heat(Corner().eval(), image, window, 1)["pool"]
    assert heat.shape == (24, 32, 20)
    place = np.unravel_index(heat.argmax(), heat.shape)
    assert all(low <= at < high for at, (low, high) in zip(place, ((16, 24), (4, 12), (8, 16)), strict=True))
    assert heat[:8].max() == 0 and heat[:, 20:].max() == 0
    assert grade_heat(Corner().eval(), image, window, 0)["pool"].max() == 0


def case(seg, brain=None):
    image = np.ones((4, *seg.shape), np.float16)
    image[:, ~(np.ones(seg.shape, bool) if brain is None else brain)] = 0
    return Case("x", image, seg, np.eye(4), np.eye(4), seg.shape)


def test_only_heat_in_the_brain_counts():
    seg = np.zeros((2, 2, 5), np.uint8)
    seg[0, 0, :2] = 1, 2  # tumour: 2 of 10 voxels of brain, 2 of 20 of the grid
    brain = np.zeros(seg.shape, bool)
    brain[0] = True
    heat = np.zeros(seg.shape, np.float32)
    heat[0, 0, 0], heat[0, 1, 4], heat[1, 1, 1] = 0.6, 0.2, 1.0  # the hottest voxel is outside
    (row,) = heat_in_brain(case(seg, brain), "HGG", {"fused": heat}).to_dict("records")
    assert row["image_id"] == "x" and row["label"] == "HGG" and row["map"] == "fused" and row["pointing_hit"] == 1
    assert row["heat_share"] == pytest.approx(0.75) and row["lesion_share"] == pytest.approx(0.2)
    assert (brain_of(case(seg, brain).image) == brain).all()


def test_cases_without_known_tumor_have_no_row():
    seg = np.zeros((2, 2, 2), np.uint8)
    heats = {"encoder": np.ones(seg.shape)}
    for unknown in (case(seg), case(seg)._replace(seg=None)):
        assert heat_in_brain(unknown, "LGG", heats).empty
    assert heat_in_brain(case(seg + 1), "LGG", {}).empty


def predictions(**counts):
    """Cases named by true grade, verdict and number, such as HGG_right_0."""
    rows = []
    for key, count in counts.items():
        grade, verdict = key.split("_")
        p = np.nan if verdict == "none" else float((grade == "HGG") == (verdict == "right"))
        rows += [(f"{key}_{n}", "" if grade == "unknown" else grade, 1 - p, p) for n in range(count)]
    return pd.DataFrame(rows, columns=["case", "grade", "p_LGG", "p_HGG"])


@pytest.mark.parametrize(
    ("table", "count", "expected"),
    [
        (predictions(HGG_right=5, HGG_wrong=2, LGG_right=5, LGG_wrong=1), 4, {"H_r": 1, "H_w": 1, "L_r": 1, "L_w": 1}),
        (predictions(HGG_right=5, LGG_right=5, LGG_wrong=3), 4, {"H_r": 2, "L_r": 1, "L_w": 1}),
        (predictions(HGG_right=5, HGG_wrong=5, LGG_right=5, LGG_wrong=5), 2, {"H_r": 1, "L_r": 1}),
        (predictions(HGG_right=1, LGG_right=5, unknown_right=9), 4, {"H_r": 1, "L_r": 3}),
        (predictions(HGG_right=1, unknown_wrong=9), 4, {"H_r": 1, "u_w": 3}),
        (predictions(HGG_none=3, LGG_none=3), 4, {"H_n": 2, "L_n": 2}),
        (predictions(LGG_right=2), 4, {"L_r": 2}),
    ],
)
def test_grades_and_verdicts_are_mixed(table, count, expected):
    chosen = cases_to_explain(table, count, 0, "x")
    kinds = [f"{name[0]}_{name.split('_')[1][0]}" for name in chosen]
    assert {kind: kinds.count(kind) for kind in kinds} == expected and chosen == sorted(set(chosen))


def test_draw_depends_only_on_the_key():
    table = predictions(HGG_right=20, LGG_right=20)
    draws = [cases_to_explain(table, 4, seed, "x") for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]
