"""Trains a tiny joint network with N processes, run by test_joint_processes.py: N OUT NORMALIZED ACCUMULATE"""

import sys
from pathlib import Path

import numpy as np
import torch

from btlib.core.runtime.workers import make_fabric
from btlib.volumes.data.cubes import StoredVolumes
from btlib.volumes.nets.network import build_joint
from btlib.volumes.training.learner import JointTask, train_joint_arms
from tests.core.training.processes import write_run
from tests.volumes.training.joint_samples import ARCHITECTURE, SLOWLY, settings, spec

if __name__ == "__main__":
    torch.set_num_threads(1)
    fabric = make_fabric(int(sys.argv[1]), "fp32")
    data = StoredVolumes({Path(sys.argv[3]): [f"c{number}" for number in range(14)]}, fabric.device)
    # 5 cases a batch: the two processes get slices of different sizes.
    task = JointTask(data, np.arange(10), np.arange(10, 14), spec(batch_size=5, accumulate=int(sys.argv[4])))
    (arm,) = train_joint_arms([(settings(**SLOWLY), build_joint(ARCHITECTURE, 0))], task, fabric)
    if fabric.is_global_zero:
        write_run(Path(sys.argv[2]), arm, fabric.world_size)
