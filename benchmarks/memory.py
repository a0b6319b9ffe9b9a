"""Time saved by keeping freed memory in the process: training steps with and without `keep_freed_memory`.

Each measurement runs in its own process, since the C library's setting cannot be undone; alternating order, medians.
Forward, loss, backward and optimiser of a whole network on random numbers, batches as in the demo and in
profiles/plain_finetune.yaml.

Run: python -m benchmarks.memory [--repeats 5]
"""

import argparse
import resource
import subprocess
import sys
import time

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from benchmarks.arms import machine
from btlib.core.runtime.memory import keep_freed_memory
from btlib.core.runtime.reproducibility import deterministic_torch
from btlib.images.nets.backbones import Backbone
from btlib.volumes.nets.network import JointArchitecture, build_joint

CASES = {
    "joint network, 64³, batch 2": (64, 2),
    "Lite0, 96 px, batch 16": (96, 16),
    "Lite0, 128 px, batch 32": (128, 32),
}
STEPS = 10


def measure(case: str) -> None:
    """Prints the median seconds per step and the peak memory in GiB."""
    deterministic_torch()  # make_fabric would keep freed memory in both cases
    size, batch = CASES[case]
    if case.startswith("joint"):
        net: nn.Module = build_joint(JointArchitecture(16, True, True, "regions", 0.0), 0)
        inputs = torch.rand(batch, 4, size, size, size)
    else:
        net = Backbone("tf_efficientnet_lite0").to(memory_format=torch.channels_last).train()
        inputs = torch.rand(batch, 3, size, size).contiguous(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(net.parameters(), fused=True)
    times = [_step(net, inputs, optimizer) for _ in range(STEPS + 3)][3:]
    print(np.median(times), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2)


def _step(net: nn.Module, inputs: Tensor, optimizer: torch.optim.Optimizer) -> float:
    started = time.perf_counter()
    out = net(inputs)
    loss = out.square().mean() if isinstance(out, Tensor) else out.regions.square().mean() + out.grade.square().mean()
    loss.backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return time.perf_counter() - started


def main(repeats: int) -> None:
    print(f"{machine()}; medians of {repeats} processes of {STEPS} steps")
    for case in CASES:
        found: dict[str, list[tuple[float, float]]] = {"default": [], "kept": []}
        for number in tqdm(range(repeats), desc=case):
            for which in ("default", "kept")[:: -1 if number % 2 else 1]:
                command = [sys.executable, "-m", "benchmarks.memory", "--case", case, "--which", which]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                found[which].append(tuple(map(float, done.stdout.split())))
        (before, peak_before), (after, peak_after) = (np.median(found[which], axis=0) for which in ("default", "kept"))
        tqdm.write(
            f"{case}: default {before:.3f} s a step, {peak_before:.2f} GiB; kept {after:.3f} s, {peak_after:.2f} GiB; "
            f"ratio {before / after:.2f}"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--case", choices=CASES, help="a single measurement, as this script calls itself")
    parser.add_argument("--which", choices=("default", "kept"))
    given = parser.parse_args()
    if given.case:
        if given.which == "kept":
            keep_freed_memory()
        measure(given.case)
    else:
        main(given.repeats)
