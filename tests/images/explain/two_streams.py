"""Small networks for explanations."""

from types import SimpleNamespace

import torch
from torch import nn
from torch.nn.functional import avg_pool2d

from btlib.images.nets.classifier import Answer


class TwoStreams(nn.Module):
    """A small stand-in for the classifier: two backbones with grids of different size, BatchNorm, a nonlinear head."""

    backbone_names = ("net_a", "net_b")
    classes = ("glioma", "meningioma", "no_tumor", "pituitary")
    architecture = SimpleNamespace(lesion=False)

    def __init__(self, strides=(4, 8)):
        super().__init__()
        self.streams = nn.ModuleList(
            nn.Sequential(nn.Conv2d(3, 6 + i, 5, stride=s, padding=2), nn.BatchNorm2d(6 + i), nn.SiLU())
            for i, s in enumerate(strides)
        )
        self.hidden = nn.Linear(13, 8)
        self.linear = nn.Linear(8, 4)

    def features(self, images):
        return tuple(stream(images) for stream in self.streams)

    def head(self, features):
        pooled = torch.cat([f.mean(dim=(2, 3)) for f in features], dim=1)
        return self.linear(torch.tanh(self.hidden(pooled)))

    def forward(self, images):
        return self.head(self.features(images))


class SeesBright(TwoStreams):
    """The same with a lesion head that takes a cell for lesion, almost surely, if it is bright in the mean."""

    architecture = SimpleNamespace(lesion=True)

    def answer(self, features, images):
        return Answer(self.head(features), 40 * (avg_pool2d(images, 4).mean(dim=1) - 0.5))


def make_two_streams(kind=TwoStreams, **options):
    torch.manual_seed(0)
    return kind(**options).eval()
