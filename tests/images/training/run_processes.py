"""Trains a tiny net with N processes and writes its weights; run by test_processes.py: N OUT FRACTION BACKBONE…"""

import sys
from pathlib import Path

import numpy as np
import torch

from btlib.core.runtime.workers import make_fabric
from btlib.images.data.classes import CLASSES
from btlib.images.data.resident import ResidentImages
from btlib.images.nets.backbones import Backbone
from btlib.images.nets.classifier import Architecture, build_classifier
from btlib.images.training.learner import train_arms
from tests.core.training.processes import write_run
from tests.images.training.make import make_settings, make_spec

if __name__ == "__main__":
    torch.set_num_threads(1)
    fabric = make_fabric(int(sys.argv[1]), "fp32")
    torch.manual_seed(0)
    fraction, names = float(sys.argv[3]), tuple(sys.argv[4:])
    fusion = "gated_cross_attention" if len(names) == 2 else "none"
    states = {name: Backbone(name).net.state_dict() for name in names}
    net = build_classifier(Architecture(names, fusion, 16, 2, 0.3, CLASSES), states, 0)
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 4
    images = (rng.random((40, 32, 32, 3)) * 60 + 40 * labels[:, None, None, None]).astype(np.uint8)
    data = ResidentImages(images, labels, fabric.device)
    # 7 images a batch: the two processes get slices of different sizes.
    spec = make_spec(batch_size=7, unfreeze_fraction=fraction)
    (arm,) = train_arms([(make_settings(), net)], data, np.arange(32), np.arange(32, 40), spec, fabric)
    if fabric.is_global_zero:
        write_run(Path(sys.argv[2]), arm, fabric.world_size)
