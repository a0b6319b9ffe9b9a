"""Time saved by the fast gradient of wide depthwise weights: a training step of whole backbones with and without it.

Forward, loss and backward of all layers on random pixels, in one process, in alternating order; medians.

Run: python -m benchmarks.depthwise [--sizes 64 96 128 224] [--repeats 7] [--backbones tf_efficientnet_lite0 ...]
"""

import argparse
import time
from copy import deepcopy

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from benchmarks.arms import BATCH, machine
from btlib.core.runtime.workers import make_fabric
from btlib.images.nets.backbones import Backbone
from btlib.images.nets.depthwise import WideDepthwise


def as_before(backbone: Backbone) -> Backbone:
    """A copy with PyTorch's own layers."""
    plain = deepcopy(backbone)
    for layer in plain.modules():
        if isinstance(layer, WideDepthwise):
            layer.__class__ = nn.Conv2d
    return plain


def seconds(backbone: Backbone, images: torch.Tensor) -> float:
    started = time.perf_counter()
    backbone(images).square().mean().backward()
    backbone.zero_grad(set_to_none=True)
    return time.perf_counter() - started


def compare(name: str, size: int, repeats: int) -> tuple[float, float]:
    """Median seconds per step, plain and quick."""
    quick = Backbone(name).to(memory_format=torch.channels_last).train()
    nets = {"plain": as_before(quick), "quick": quick}
    images = torch.rand(BATCH, 3, size, size).contiguous(memory_format=torch.channels_last)
    times: dict[str, list[float]] = {which: [] for which in nets}
    for number in range(-1, repeats):
        for which in ("plain", "quick")[:: -1 if number % 2 else 1]:
            spent = seconds(nets[which], images)
            if number >= 0:  # the first is a warm-up
                times[which].append(spent)
    return float(np.median(times["plain"])), float(np.median(times["quick"]))


def main(sizes: list[int], repeats: int, backbones: list[str]) -> None:
    make_fabric(1, "fp32")
    print(f"{machine()}; batch {BATCH}, medians of {repeats}")
    for name, size in tqdm([(name, size) for name in backbones for size in sizes], desc="cases"):
        plain, quick = compare(name, size, repeats)
        tqdm.write(f"{name}, {size} px: plain {plain:.3f} s a step, quick {quick:.3f} s, ratio {plain / quick:.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", type=int, default=[64, 96, 128, 224])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--backbones", nargs="+", default=["tf_efficientnet_lite0", "tf_efficientnet_lite2"])
    main(**vars(parser.parse_args()))
