"""A tiny classification task and tiny networks: two timm test backbones, 32 px, four colours as classes."""

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from btlib.images.data.classes import CLASSES
from btlib.images.data.lesion_maps import FULL
from btlib.images.data.resident import Phantoms, ResidentImages
from btlib.images.nets.backbones import Backbone
from btlib.images.nets.classifier import Architecture, build_classifier

BACKBONES = ("test_efficientnet", "test_convnext")


@pytest.fixture(scope="session")
def states():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        drawn = {name: Backbone(name).net.state_dict() for name in BACKBONES}
    for name, tensor in drawn["test_convnext"].items():
        if name.endswith("gamma"):
            tensor.fill_(0.5)  # ConvNeXt initialises branch scales near zero, unlike pretrained weights
    return drawn


@pytest.fixture
def make_net(states):
    def make(seed=0, fusion="gated_cross_attention", backbones=BACKBONES, dropout=0.3):
        architecture = Architecture(backbones, fusion, 16, 2, dropout, CLASSES)
        return build_classifier(architecture, states, seed)

    return make


@pytest.fixture(scope="session")
def task():
    """(data, train rows, val rows): 48 noisy images whose colour indicates the class, and 12 grey phantoms."""
    rng = np.random.default_rng(0)
    labels = np.tile(np.arange(4), 12)
    colors = np.array([[200, 60, 60], [60, 200, 60], [60, 60, 200], [180, 180, 60]])
    images = colors[labels][:, None, None] + rng.normal(0, 25, (48, 32, 32, 3))
    lesions = rng.integers(0, FULL + 1, (48, 8, 8), dtype=np.uint8)
    phantoms = Phantoms(rng.integers(0, 256, (12, 32, 32), dtype=np.uint8), labels[:12], lesions[:12])
    pixels = images.clip(0, 255).astype(np.uint8)
    data = ResidentImages(pixels, labels, torch.device("cpu"), lesions, phantoms)
    return data, np.arange(32), np.arange(32, 48)


@pytest.fixture(scope="session")
def fabric():
    torch.set_num_threads(1)
    return Fabric(accelerator="cpu", devices=1)
