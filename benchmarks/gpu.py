"""Accuracy and speed on one GPU, the most important parts first, with the results so far as JSON.

1. GPU, versions, peak speed of bf16 matrix products; fp32 on the GPU against the CPU, bf16 losses against fp32;
2. the paper's pair at 224 px with random weights: frozen forward pass, steps of stage 1 and 2, memory;
3. eight arms together against one by one (stage 1);
4. the joint network at 128³ on random volumes: steps per second, memory.

The JSON lists parts for which no time was left as not run. On a CPU everything runs at a tiny size.

Run: python -m benchmarks.gpu --out gpu.json [--minutes 5]
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from benchmarks.arms import ARMS, BATCH, STEPS, Bench, machine
from btlib.core.runtime.artifacts import write_json
from btlib.images.data.classes import CLASSES
from btlib.images.nets.backbones import Backbone
from btlib.images.nets.classifier import Architecture, Classifier, build_classifier
from btlib.images.nets.trunk import FrozenTrunk
from btlib.volumes.nets.network import JointArchitecture, JointNet, JointOutput, build_joint

PAIR = ("tf_efficientnetv2_s", "convnext_tiny")
CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CUDA else "cpu")
PIXELS, CUBE, MATRIX, REPEATS = (224, 128, 8192, 20) if CUDA else (32, 16, 256, 2)


def seconds(work: Callable[[], object], repeats: int = REPEATS) -> float:
    """Median wall time of one call, after three warm-up calls."""
    times = []
    for _ in range(repeats + 3):
        _wait()
        started = time.perf_counter()
        work()
        _wait()
        times.append(time.perf_counter() - started)
    return float(np.median(times[3:]))


def peak() -> dict:
    """TFLOP/s of a square bf16 matrix product."""
    a, b = (torch.randn(MATRIX, MATRIX, device=DEVICE, dtype=torch.bfloat16) for _ in range(2))
    return {"side": MATRIX, "tflops": 2 * MATRIX**3 / seconds(lambda: a @ b) / 1e12}


def exactness() -> dict:
    """Largest differences: fp32 logits on the GPU against the CPU, and the loss in bf16 autocast against fp32."""
    torch.manual_seed(0)
    images = torch.rand(8, 3, PIXELS, PIXELS)
    volumes = torch.randn(1, 4, CUBE // 2, CUBE // 2, CUBE // 2)
    return {"classifier": _compared(_pair(), images), "joint": _compared(_joint(), volumes)}


def throughput() -> dict:
    """Images/s of the frozen forward pass, by batch size."""
    net = _pair().to(DEVICE, memory_format=torch.channels_last)
    trunk = FrozenTrunk(net, net.cuts_for(0.0)).to(memory_format=torch.channels_last)
    found = {}
    for batch in (32, 128, 512) if CUDA else (2,):
        images = torch.rand(batch, 3, PIXELS, PIXELS, device=DEVICE).contiguous(memory_format=torch.channels_last)
        with torch.inference_mode(), torch.autocast(DEVICE.type, torch.bfloat16, enabled=CUDA):
            found[str(batch)] = batch / seconds(lambda images=images: trunk(images))
    return {"pixels": PIXELS, "images_per_second_by_batch": found}


def training() -> dict:
    """Seconds per step of each stage with one arm, and of stage 1 with eight arms together and one by one."""
    found = {}
    for stage, unfreeze in ((1, 0.0), (2, 0.2)):
        bench = Bench(list(PAIR), PIXELS, unfreeze)
        bench.seconds(ARMS[:1])
        _reset_memory()
        one = bench.seconds(ARMS[:1]) / STEPS
        found[f"stage{stage}"] = {"seconds_a_step": one, "images_per_second": BATCH / one, "peak_gib": _memory()}
        if stage == 1:
            bench.seconds(ARMS)
            together = bench.seconds(ARMS) / STEPS
            apart = sum(bench.seconds([arm]) for arm in ARMS) / STEPS
            found["eight_arms"] = {"together": together, "one_by_one": apart, "ratio": apart / together}
    return found


def joint() -> dict:
    """Speed and memory of forward and backward passes of the joint network on random volumes."""
    net = _joint().to(DEVICE)
    volumes = torch.randn(2, 4, CUBE, CUBE, CUBE, device=DEVICE)

    def step() -> None:
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=CUDA):
            out = net(volumes)
            loss = out.regions.float().square().mean() + out.grade.float().square().mean()
        loss.backward()
        net.zero_grad(set_to_none=True)

    _reset_memory()
    rate = 1 / seconds(step)
    return {"side": CUBE, "batch": 2, "steps_per_second": rate, "peak_gib": _memory()}


PARTS = {"peak": peak, "exactness": exactness, "throughput": throughput, "training": training, "joint": joint}


def main(out: Path, minutes: float) -> None:
    started = time.perf_counter()
    results: dict = {"machine": machine(), "minutes": minutes}
    for name, part in PARTS.items():
        before = time.perf_counter()
        if before - started > 60 * minutes:
            results[name] = "not run: no time left"
            continue
        results[name] = part() | {"took_seconds": round(time.perf_counter() - before, 1)}
        write_json(out, results)  # so that partial results survive a kill
        print(name, results[name], flush=True)
    write_json(out, results)


def _pair() -> Classifier:
    torch.manual_seed(0)
    states = {name: Backbone(name).net.state_dict() for name in PAIR}
    return build_classifier(Architecture(PAIR, "gated_cross_attention", 256, 4, 0.0, CLASSES), states, 0).eval()


def _joint() -> JointNet:
    architecture = JointArchitecture(width=16, attention=True, segmentation=True, grading="regions", dropout=0.0)
    return build_joint(architecture, 0)


def _logits(out: torch.Tensor | JointOutput) -> torch.Tensor:
    return out.grade if isinstance(out, JointOutput) else out


def _compared(net: torch.nn.Module, inputs: torch.Tensor) -> dict:
    with torch.inference_mode():
        here = _logits(net(inputs))
        net, inputs = net.to(DEVICE), inputs.to(DEVICE)
        there = _logits(net(inputs))
        with torch.autocast(DEVICE.type, torch.bfloat16):
            rough = _logits(net(inputs)).float()
    target = torch.zeros(len(there), dtype=torch.long, device=DEVICE)
    return {
        "largest_logit": float(here.abs().max()),
        "fp32_against_cpu": float((here - there.cpu()).abs().max()),
        "bf16_loss_against_fp32": float((cross_entropy(rough, target) - cross_entropy(there, target)).abs()),
    }


def _wait() -> None:
    if CUDA:
        torch.cuda.synchronize()


def _reset_memory() -> None:
    if CUDA:
        torch.cuda.reset_peak_memory_stats()


def _memory() -> float | None:
    return torch.cuda.max_memory_allocated() / 2**30 if CUDA else None


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=5)
    main(**vars(parser.parse_args()))
