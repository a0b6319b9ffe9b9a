"""Runs a training script with one and with two processes, for tests of both studies."""

import os
import subprocess
import sys
from pathlib import Path

import torch

from btlib.core.runtime.artifacts import read_tensors, write_tensors
from btlib.core.training.arms import Arm

ROOT = Path(__file__).parents[3]


def write_run(out: Path, arm: Arm, processes: int) -> None:
    """Writes the weights and the history of an arm, in the script."""
    history = {
        f"{key}/{row['epoch']}": torch.tensor(v) for row in arm.readouts[0].progress.history for key, v in row.items()
    }
    write_tensors(out, arm.net.state_dict() | history, {"processes": str(processes)})


def assert_two_processes_equal_one(script: str, folder: Path, *arguments: str) -> None:
    """Calls the script as `script N OUT ARGUMENT…` and compares what it writes."""
    results = []
    for processes in (1, 2):
        out = folder / f"{processes}.safetensors"
        command = [sys.executable, script, str(processes), str(out), *arguments]
        # Fabric starts the second process with the same command; gloo listens on the loopback interface only.
        env = os.environ | {"PYTHONPATH": str(ROOT), "MASTER_ADDR": "127.0.0.1", "GLOO_SOCKET_IFNAME": "lo"}
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        tensors, metadata = read_tensors(out)
        assert metadata["processes"] == str(processes)
        results.append(tensors)
    one, two = results
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, atol=1e-5, rtol=1e-5, msg=name)
