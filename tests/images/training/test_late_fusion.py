"""Late fusion: two independent networks on shared batches, whose predictions are averaged."""

import pytest
import torch

from btlib.images.nets.classifier import Classifier
from btlib.images.training.learner import Batch, ClassifierLearner
from tests.images.training.make import make_settings


def alone(pair: Classifier, number: int) -> Classifier:
    """A network of one backbone, with its weights and its columns of the linear layer."""
    net = Classifier(pair.architecture._replace(backbones=pair.backbone_names[number : number + 1])).eval()
    net.backbones[0].load_state_dict(pair.backbones[number].state_dict())
    with torch.no_grad():
        net.linear.weight.copy_(pair.linear.weight.split(pair.branches, dim=1)[number])
        net.linear.bias.copy_(pair.linear.bias)
    return net


def test_prediction_is_the_mean_of_single_backbone_predictions(make_net):
    pair, images = make_net(fusion="none"), torch.rand(2, 3, 64, 32)
    with torch.no_grad():
        features = pair.features(images)
        alone_logits = [alone(pair, number)(images) for number in (0, 1)]
        torch.testing.assert_close(pair.branch_logits(features), torch.stack(alone_logits))
        torch.testing.assert_close(pair(images), (alone_logits[0] + alone_logits[1]) / 2)
        mask = torch.cat([torch.zeros(2, pair.branches[0]), torch.ones(2, pair.branches[1])], dim=1)
        torch.testing.assert_close(pair.branch_logits(features, mask)[0], pair.linear.bias.expand(2, -1))
        torch.testing.assert_close(pair.branch_logits(features, mask)[1], alone_logits[1])


@pytest.mark.parametrize("loss", ["focal", "cross_entropy"])
@pytest.mark.parametrize("number", [0, 1])
def test_backbone_gradients_equal_those_of_a_single_network(make_net, loss, number):
    pair = make_net(fusion="none", dropout=0.0)
    single = alone(pair, number)
    images, target = torch.rand(4, 3, 32, 32), torch.eye(4)
    for net in (pair, single):
        cuts = net.cuts_for(1.0)
        learner = ClassifierLearner(make_settings(loss=loss), net, cuts, False, torch.ones(4))
        batch = Batch(
            net.trunk(images, cuts), target, torch.arange(4), 4, torch.zeros(4, 8, 8), torch.ones(4), guided=False
        )
        losses, _ = learner.losses(batch, (0, 0, 0))
        losses.mean().backward()
    mine = dict(pair.backbones[number].named_parameters())
    compared = 0
    for name, parameter in single.backbones[0].named_parameters():
        if parameter.grad is not None:  # averaging two branches halves each gradient
            torch.testing.assert_close(2 * mine[name].grad, parameter.grad, rtol=1e-4, atol=1e-6)
            compared += parameter.grad.abs().max().item() > 1e-4
    assert compared > 5
