"""The frozen forward pass of the paper's pair: images/s by batch, memory format, CUDA graph and compiler."""

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.gpu.measure import CUDA, DEVICE, Run, attempt, peak_gib, reset_memory, seconds, share
from benchmarks.gpu.networks import pair
from btlib.images.nets.trunk import FrozenTrunk

Forward = Callable[[Tensor], Any]
EAGER = "eager"  # as btlib trains: channels last, bf16 autocast on a GPU


def frozen_forward(run: Run) -> dict:
    """All variants until the time is out, and the fastest; the first is the one in use, with which others compare.

    `equal` and `largest_difference` (relative to the largest feature) are against the features of `eager`.
    """
    net = pair(run.sizes.pair).to(DEVICE)
    trunk = FrozenTrunk(net, net.cuts_for(0.0))
    flops = _flops(trunk, run.sizes.pixels)
    found, not_run = [], []
    for name, batch in plan(run.sizes.batches):
        if run.clock.left() < 0:
            not_run.append(f"{name}, {batch}")
            continue
        one = attempt(lambda name=name, batch=batch: _measured(run, trunk, name, batch))
        if "images_per_second" in one:
            one["share_of_peak"] = share(flops * one["images_per_second"], run.peak)
        found.append({"variant": name, "batch": batch} | one)
        print(found[-1], flush=True)
    done = [one for one in found if "images_per_second" in one]
    return {
        "pixels": run.sizes.pixels,
        "gflop_per_image": flops / 1e9,
        "variants": found,
        "not_run_for_time": not_run,
        "fastest": max(done, key=lambda one: one["images_per_second"], default=None),
    }


def plan(batches: tuple[int, ...]) -> Iterator[tuple[str, int]]:
    """Variants with their batches, the most informative first; the compiler, which takes minutes, last."""
    yield from product([EAGER], batches)
    ends = sorted({batches[0], batches[-1]})
    if CUDA:
        yield from product(["cuda graph"], ends)
    yield from product(["contiguous"], ends)
    if CUDA:  # on a CPU the compiler would take most of the time of a test
        yield "compiled", batches[-1]
        yield "compiled with cuda graphs", batches[0]


def _measured(run: Run, trunk: FrozenTrunk, name: str, batch: int) -> dict:
    torch.manual_seed(0)
    layout = torch.contiguous_format if name == "contiguous" else torch.channels_last
    trunk.to(memory_format=torch.channels_last)
    images = torch.rand(batch, 3, run.sizes.pixels, run.sizes.pixels, device=DEVICE)
    reference = _parts(_forward(trunk)(images.contiguous(memory_format=torch.channels_last)))
    trunk.to(memory_format=layout)
    images = images.contiguous(memory_format=layout)
    reset_memory()
    forward = _variant(trunk, name, images)
    features = _parts(forward(images))
    gaps = [float((a - b).abs().max() / b.abs().max()) for a, b in zip(features, reference, strict=True)]
    return {
        "images_per_second": batch / seconds(lambda: forward(images), run.sizes.repeats),
        "peak_gib": peak_gib(),
        "equal": all(torch.equal(a, b) for a, b in zip(features, reference, strict=True)),
        "largest_difference": max(gaps),
    }


def _variant(trunk: FrozenTrunk, name: str, images: Tensor) -> Forward:
    if name == "cuda graph":
        return _graphed(_forward(trunk, cache=False), images)
    if name.startswith("compiled"):
        torch.compiler.reset()  # so that no graph is shared with another batch size
        return _forward(torch.compile(trunk, mode="default" if name == "compiled" else "reduce-overhead"))
    return _forward(trunk)


def _forward(trunk: torch.nn.Module, cache: bool = True) -> Forward:
    def forward(images: Tensor) -> Any:
        with torch.no_grad(), torch.autocast(DEVICE.type, torch.bfloat16, enabled=CUDA, cache_enabled=cache):
            return trunk(images)

    return forward


def _graphed(forward: Forward, images: Tensor) -> Forward:
    """The pass as one recorded graph, which the CPU starts at once; images are copied into its input."""
    static = images.clone()
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(3):
            forward(static)
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = forward(static)

    def replay(images: Tensor) -> Any:
        static.copy_(images)
        graph.replay()
        return out

    return replay


def _parts(features: Any) -> list[Tensor]:
    return [tensor.float().clone() for part in features for tensor in part]


def _flops(trunk: FrozenTrunk, pixels: int) -> int:
    """FLOPs of one image; a multiplication and an addition are two."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        trunk(torch.rand(1, 3, pixels, pixels, device=DEVICE))
    return counter.get_total_flops()
