import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from btlib.core.runtime.artifacts import read_tensors

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    "network",
    [
        ("0.5", "test_efficientnet", "test_convnext"),
        ("1.0", "mobilenetv3_small_050"),  # not cut, and two of its parameters have no use
    ],
)
def test_two_processes_equal_one_at_the_same_global_batch(tmp_path, network):
    results = []
    for processes in (1, 2):
        out = tmp_path / f"{processes}.safetensors"
        command = [sys.executable, "tests/images/training/run_processes.py", str(processes), str(out), *network]
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
