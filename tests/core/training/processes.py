"""Runs a training script with one and with two processes, for tests of both studies."""

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
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
    one, two = (_results([([], processes)], script, folder, *arguments) for processes in (1, 2))
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, atol=1e-5, rtol=1e-5, msg=name)


def assert_two_nodes_equal_two_processes(script: str, folder: Path, *arguments: str) -> None:
    """The same for two processes started together, and by torchrun as on two computers, each with one."""
    port = str(free_port())
    nodes = ["--nnodes", "2", "--nproc-per-node", "1", "--master-addr", "127.0.0.1", "--master-port", port]
    torchrun = ["-m", "torch.distributed.run", *nodes, "--node-rank"]
    apart = _results([([*torchrun, rank], 2) for rank in "01"], script, folder, *arguments)
    together = _results([([], 2)], script, folder, *arguments)
    assert apart.keys() == together.keys()
    assert [name for name, tensor in together.items() if not torch.equal(apart[name], tensor)] == []


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def _results(
    commands: Sequence[tuple[Sequence[str], int]], script: str, folder: Path, *arguments: str
) -> dict[str, torch.Tensor]:
    """What the script writes, started once for each (words before it, processes)."""
    out = folder / "result.safetensors"
    # Fabric starts the second process with the same command; gloo listens on the loopback interface only.
    env = os.environ | {"PYTHONPATH": str(ROOT), "MASTER_ADDR": "127.0.0.1", "GLOO_SOCKET_IFNAME": "lo"}
    started = [
        subprocess.Popen(
            [sys.executable, *words, script, str(processes), str(out), *arguments],
            cwd=ROOT,
            env=env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for words, processes in commands
    ]
    try:
        for one in started:
            _, errors = one.communicate(timeout=600)
            assert one.returncode == 0, errors[-2000:]
    finally:
        for one in started:
            one.kill()
    tensors, metadata = read_tensors(out)
    assert metadata["processes"] == str(commands[0][1])
    return tensors
