"""Speed-up by a cluster's second worker: training of eight arms, and prediction of 64 cases.

On loopback: a scheduler and workers of one thread each, started here. The same calls on one and on two workers, in
alternating order; medians and the ratio of medians, which is 2 at best. Then the time that a call costs beside its
work. Random pixels, voxels and weights, since speed does not depend on the content. The last lines are on paper: how
long 125 runs take on 8 GPUs, from the time of one.

Run: python -m benchmarks.cluster [--repeats 3] [--size 64] [--side 48] [--run-minutes 5.5]
"""

import argparse
import heapq
import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from functools import partial

import numpy as np
import torch
from distributed import LocalCluster

from btlib.core.runtime import cluster
from btlib.core.runtime.workers import SCHEDULER, Shared, make_fabric, side_by_side
from btlib.images.data.classes import CLASSES
from btlib.images.data.resident import ResidentImages
from btlib.images.nets.classifier import Architecture, build_classifier
from btlib.images.training.augment import Strength
from btlib.images.training.learner import BatchSpec, ClassifierSettings, train_arms
from btlib.volumes.data.store import Case
from btlib.volumes.explain.answers import predict_cases
from btlib.volumes.nets.network import JointArchitecture, build_joint
from btlib.volumes.nets.windows import Window

ARMS, CASES, CALLS = 8, 64, 200
BATCH, STEPS = 32, 12
ARCHITECTURE = Architecture(("attention_cnn",), "none", 64, 2, 0.3, CLASSES)


def open_images(size: int) -> tuple:
    """A training on random pixels: fabric, images."""
    fabric = make_fabric(1, "fp32")
    images = np.random.default_rng(0).integers(0, 256, (BATCH * STEPS + 4, size, size, 3), dtype=np.uint8)
    return fabric, ResidentImages(images, np.arange(len(images)) % 4, fabric.device)


def train_arm(seed: int, images: Shared) -> float:
    """One epoch of one arm, which shares its batches with no other; the last training loss."""
    fabric, data = images.value
    spec = BatchSpec(seed, 1, BATCH, 0.2, Strength(0.5, 0.5, 0.1, 0.1), 1.0, train_batchnorm=True)
    settings = ClassifierSettings(
        name="arm", seed=seed, loss="focal", focal_gamma=2.0, focal_alpha="inverse_frequency", label_smoothing=0.05,
        optimizer="adam", learning_rate=1e-4, weight_decay=0.0, schedule="constant", clip_norm=0.0, ema_decays=(0.0,),
        patience=9,
    )  # fmt: skip
    rows = np.arange(len(data.labels))
    net = build_classifier(ARCHITECTURE, {}, seed)
    (arm,) = train_arms([(settings, net)], data, rows[:-4], rows[-4:], spec, fabric)
    return arm.readouts[0].progress.history[-1]["train_loss"]


def arms(size: int) -> Callable[[], list[float]]:
    return lambda: list(side_by_side(partial(train_arm, images=Shared(open_images, size)), range(ARMS)))


def cases(side: int) -> Callable[[], list]:
    net = build_joint(JointArchitecture(8, attention=True, segmentation=True, grading="regions", dropout=0.0), 0)
    rng, eye = np.random.default_rng(0), np.eye(4)
    voxels = [rng.standard_normal((4, side, side, side)).astype(np.float16) for _ in range(CASES)]
    found = [Case(f"c{number}", image, None, eye, eye, (side,) * 3) for number, image in enumerate(voxels)]
    return lambda: predict_cases(net, Window(side, side), found, "cases")


def nothing() -> list[int]:
    return list(side_by_side(abs, range(CALLS)))


@contextmanager
def workers(count: int) -> Iterator[None]:
    """What runs in the block runs on this many workers, which have imported all that they need."""
    with LocalCluster(n_workers=count, threads_per_worker=1, host="127.0.0.1", dashboard_address=None) as found:
        os.environ[SCHEDULER] = found.scheduler_address
        list(side_by_side(time.sleep, [1.0] * (2 * count)))
        yield
        cluster.leave(os.environ.pop(SCHEDULER))


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def speed_up(name: str, work: Callable[[], object], repeats: int) -> None:
    found: dict[int, list[float]] = {1: [], 2: []}
    for repeat in range(repeats):
        for count in (1, 2) if repeat % 2 == 0 else (2, 1):
            with workers(count):
                found[count].append(seconds(work))
    one, two = (float(np.median(times)) for times in found.values())
    print(f"{name}: {one:.1f} s on one worker, {two:.1f} s on two, ratio {one / two:.2f}", flush=True)


def makespan(tasks: list[float], gpus: int) -> float:
    """When the last of these tasks ends, if each starts as soon as a GPU is free."""
    free = [0.0] * gpus
    for task in tasks:
        heapq.heapreplace(free, free[0] + task)
    return max(free)


def main(repeats: int, size: int, side: int, run_minutes: float) -> None:
    torch.set_num_threads(1)
    print(f"{date.today()}, {os.cpu_count()} CPU cores, torch {torch.__version__}, Python {platform.python_version()}")
    speed_up(f"training of {ARMS} arms at {size} px", arms(size), repeats)
    speed_up(f"prediction of {CASES} cases of {side}³ voxels", cases(side), repeats)
    with workers(1):
        each = np.median([seconds(nothing) for _ in range(repeats)]) / CALLS
    print(f"a call that does nothing: {1000 * each:.1f} ms")
    for gpus in (1, 8):
        together = makespan([run_minutes + each / 60] * 125, gpus)
        by_table = 5 * makespan([run_minutes + each / 60] * 25, gpus)
        print(f"on paper, 125 runs of {run_minutes} min on {gpus} GPUs: {together:.0f} min, in 5 stages {by_table:.0f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--side", type=int, default=48)
    parser.add_argument("--run-minutes", type=float, default=5.5)
    main(**vars(parser.parse_args()))
