import pytest
import torch
from monai.losses import DiceLoss
from torch.nn.functional import adaptive_avg_pool2d, binary_cross_entropy_with_logits

from btlib.images.nets.backbones import Backbone
from btlib.images.nets.classifier import Architecture, build_classifier
from btlib.images.nets.lesion import RARE, STRONGEST, LesionHead, Shown, TiedAnswer, evidence, lesion_loss, pooled_under

CLASSES = ("glioma", "meningioma", "no_tumor", "pituitary")
PAIR = Architecture(("test_efficientnet", "test_convnext"), "gated_cross_attention", 8, 2, 0.0, CLASSES)
WITH_HEAD = PAIR._replace(lesion=True, tied=True)


def built(architecture, seed=0):
    torch.manual_seed(0)
    states = {name: Backbone(name).net.state_dict() for name in architecture.backbones}
    return build_classifier(architecture, states, seed)


def test_without_the_head_it_is_the_papers_network():
    net, images = built(PAIR), torch.rand(2, 3, 64, 64)
    assert {name.split(".")[0] for name in net.state_dict()} == {"backbones", "fusion", "linear"}
    assert net.linear.in_features == net.fusion.out_features
    with torch.no_grad():
        features = tuple(backbone(images) for backbone in net.backbones)
        assert torch.equal(net(images), net.linear(net.fusion(features).vector_BD))
        assert net.answer(net.features(images), images).lesion is None


@pytest.mark.parametrize("fusion", ["gated_cross_attention", "none"])
def test_the_map_has_a_quarter_of_the_images_size(fusion):
    net, images = built(WITH_HEAD._replace(fusion=fusion)), torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        logits, lesion = net.answer(net.features(images), images)
    assert (logits.shape, lesion.shape) == ((2, 4), (2, 16, 16))
    torch.testing.assert_close(logits[:, 2].exp(), 1 - (evidence(lesion) - RARE).sigmoid(), atol=1e-4, rtol=1e-3)
    with torch.no_grad():
        branches = net.read(net.features(images)).branches  # late fusion averages their log-probabilities
    torch.testing.assert_close(branches.exp().sum(dim=2), torch.ones(len(branches), 2))
    torch.testing.assert_close(logits, branches.mean(dim=0))


@pytest.mark.parametrize(
    ("name", "strides"),
    [
        ("tf_efficientnet_lite0", [4, 8, 16, 32]),
        ("test_convnext", [4, 8, 16, 32]),
        ("resnet50", [4, 8, 16, 32]),
        ("densenet121", [4, 8, 16, 32]),
        ("vgg11_bn", [4, 8, 16, 32]),
        ("test_vit", [16]),  # in one piece
    ],
)
def test_levels_of_the_pyramid_by_family(name, strides):
    backbone = Backbone(name)
    channels = backbone.tap()
    with torch.no_grad():
        maps = backbone.tail(backbone.trunk(torch.rand(1, 3, 64, 64), 0), 0)
    assert [64 // level.shape[2] for level in maps] == strides
    assert tuple(level.shape[1] for level in maps) == channels


def test_two_backbones_of_different_depth_share_a_map():
    head = LesionHead([(8, 16), (24,)])
    pyramids = [[torch.rand(2, 8, 16, 16), torch.rand(2, 16, 8, 8)], [torch.rand(2, 24, 4, 4)]]
    assert [found.shape[2:] for found in head(pyramids)] == [(16,), (16, 16)]


def test_no_tumor_is_what_the_map_leaves():
    tied = TiedAnswer(none=2)
    lesion = torch.full((2, 8, 8), -5.0)
    lesion[1, :2, :4] = 3.0
    for logits in torch.randn(3, 2, 4):  # whatever the features say
        p = tied(logits, lesion).exp()
        torch.testing.assert_close(p.sum(dim=1), torch.ones(2))
        torch.testing.assert_close(p[:, 2], 1 - torch.tensor([-5.0 - RARE, 3.0 - RARE]).sigmoid(), atol=1e-4, rtol=1e-3)
    others = [0, 1, 3]
    expected = logits[:, others].softmax(dim=1)
    torch.testing.assert_close(p[:, others] / p[:, others].sum(dim=1, keepdim=True), expected)


def test_an_untrained_map_leaves_open_whether_there_is_a_tumor():
    with torch.no_grad():
        p = built(WITH_HEAD)(torch.rand(4, 3, 64, 64)).exp()[:, 2]
    assert ((p > 0.2) & (p < 0.8)).all()


def test_the_answer_follows_from_its_map():
    net, images = built(WITH_HEAD), torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        net.tied.offset.fill_(-0.2), net.tied.slope.fill_(0.15)
        logits, lesion = net.answer(net.features(images), images)
    slope = torch.tensor(10 * 0.15).exp().log1p()
    torch.testing.assert_close((slope * evidence(lesion) - 2).sigmoid(), 1 - logits[:, 2].exp())


def test_evidence_is_the_mean_of_the_strongest():
    lesion = torch.zeros(1, 10, 10)
    lesion[0, 4, :STRONGEST] = torch.arange(1.0, STRONGEST + 1)
    assert evidence(lesion).item() == pytest.approx((STRONGEST + 1) / 2)
    assert evidence(torch.ones(1, 2, 2)).item() == 1  # fewer cells than STRONGEST


def test_features_are_pooled_under_the_map():
    feature = torch.arange(16.0).view(1, 1, 4, 4)
    lesion = torch.zeros(1, 8, 8)
    lesion[0, 2:4, 4:6] = 1.0  # cell (1, 2) of the feature map
    torch.testing.assert_close(pooled_under(feature, lesion), torch.tensor([[6.0]]))


def test_the_loss_is_cross_entropy_and_dice_where_an_outline_is_known():
    logits, target = torch.randn(3, 8, 8), torch.rand(3, 16, 16)
    small = adaptive_avg_pool2d(target, 8)
    dice = DiceLoss(sigmoid=True, smooth_nr=1.0, smooth_dr=1.0, reduction="none")
    expected = 1 * dice(logits[:, None], small[:, None]).flatten()
    expected += 5 * torch.stack([binary_cross_entropy_with_logits(a, b) for a, b in zip(logits, small, strict=True)])
    expected[1] = 0
    torch.testing.assert_close(lesion_loss(logits, target, torch.tensor([True, False, True])), expected)


def test_gradients_of_the_class_reach_the_map_and_the_backbones():
    net = built(WITH_HEAD).requires_grad_()
    net(torch.rand(2, 3, 64, 64))[:, 2].sum().backward()
    assert net.lesion.logit.weight.grad.abs().sum() > 0
    assert all(next(backbone.units[0].parameters()).grad.abs().sum() > 0 for backbone in net.backbones)


def test_a_known_lesion_is_read_in_place_of_the_map():
    lesion, share = torch.randn(3, 8, 8), torch.rand(3, 16, 16)
    share[1] = 0  # no lesion
    read = Shown(share, torch.tensor([True, True, False])).instead_of(lesion)
    torch.testing.assert_close(read[0], adaptive_avg_pool2d(share[None, 0], 8)[0])
    torch.testing.assert_close(read[1:], lesion[1:].sigmoid())


def test_gradients_of_the_class_reach_the_map_where_the_lesion_is_known():
    net, images = built(WITH_HEAD).requires_grad_(), torch.rand(2, 3, 64, 64)
    features = net.features(images)
    plain = net.read(features)
    for known, expected in ((torch.tensor([True, False]), True), (torch.tensor([False, False]), False)):
        read = net.read(features, shown=Shown(torch.zeros(2, 16, 16), known))
        assert torch.equal(read.branches, plain.branches) and torch.equal(read.lesion, plain.lesion)
        (gradient,) = torch.autograd.grad(
            read.branches[..., 2].sum(), read.lesion, allow_unused=True, retain_graph=True
        )
        assert (gradient is not None and bool(gradient[0].any())) == expected
        assert gradient is None or not gradient[1].any()
        net.zero_grad()


def test_the_mirrored_network_averages_its_map():
    net, images = built(WITH_HEAD._replace(flip_tta=True)), torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        one, other = (net.answer(net.features(x), x) for x in (images, images.flip(3)))
    torch.testing.assert_close(one.lesion, other.lesion.flip(2))
    torch.testing.assert_close(one.logits, other.logits)


def test_a_study_without_healthy_images_has_nothing_to_tie():
    assert built(WITH_HEAD._replace(classes=("glioma", "meningioma", "pituitary"))).tied is None
