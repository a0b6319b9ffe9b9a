"""Sizes, time limits and timing that all parts share."""

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from btlib.core.runtime.errors import brief

CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CUDA else "cpu")
MESSAGE = 500  # characters of an error that are recorded


@dataclass(frozen=True)
class Sizes:
    """How much is computed; `TINY` is for a test on a CPU, whose numbers mean nothing."""

    pair: tuple[str, str] = ("tf_efficientnetv2_s", "convnext_tiny")  # the paper's
    pixels: int = 224
    matrix: int = 8192
    repeats: int = 20
    batches: tuple[int, ...] = (32, 128, 512, 1024)  # of the frozen forward pass
    loop_images: int = 1024
    loop_epochs: int = 2
    loop_repeats: int = 3
    loaders: int = 8  # processes of the other loops
    cube: int = 128
    joint_cases: int = 8
    joint_steps: int = 24
    phantoms: int = 200
    phantom_seconds: float = 600
    scan_mm: float = 1.5  # voxel size; 128 of them are 192 mm, as in the demo
    atlas_mm: float = 1.0
    overrides: dict[str, Any] = field(default_factory=dict)  # over the profiles of parts with real images
    joint_overrides: dict[str, Any] = field(default_factory=dict)


FULL = Sizes(overrides={"image_size": 224})
TINY = Sizes(
    pair=("test_efficientnet", "test_convnext"),
    pixels=32,
    matrix=128,
    repeats=1,
    batches=(2,),
    loop_images=64,
    loop_epochs=1,
    loop_repeats=1,
    loaders=1,
    cube=16,
    joint_cases=4,
    joint_steps=2,
    phantoms=2,
    phantom_seconds=1,
    scan_mm=4.0,
    atlas_mm=4.0,
    overrides={
        "image_size": 32,
        "batch_size": 4,
        "backbones": ["test_efficientnet", "test_convnext"],
        "epochs_stage1": 1,
        "epochs_stage2": 1,
        "split": {"val": 0.25, "test": 0.25},
        "weights": {"source": "none"},
    },
    joint_overrides={"width": 8, "size": 16, "batch_size": 2, "patience": 1},
)


class Clock:
    """The time that a part has."""

    def __init__(self, limit: float):
        self.started = time.perf_counter()
        self.limit = limit

    def spent(self) -> float:
        return time.perf_counter() - self.started

    def left(self) -> float:
        return self.limit - self.spent()


@dataclass
class Run:
    """What a part is given: sizes, its clock, the folder of real images if any, and the results so far."""

    sizes: Sizes
    clock: Clock
    images: Path | None
    results: dict[str, Any]

    @property
    def peak(self) -> float | None:
        """FLOP/s of a matrix product in this process, if that part has run."""
        tflops = self.results.get("peak", {}).get("tflops")
        return None if tflops is None else tflops * 1e12


def seconds(work: Callable[[], object], repeats: int) -> float:
    """Median wall time of one call, after warm-up calls."""
    times = []
    for _ in range(repeats + 3):
        started = now()
        work()
        times.append(now() - started)
    return float(np.median(times[3:]))


def now() -> float:
    """The time once the GPU has finished."""
    if CUDA:
        torch.cuda.synchronize()
    return time.perf_counter()


def attempt(work: Callable[[], dict]) -> dict:
    """The values that `work` returns, or that it failed and why: one fault should not cost the other results."""
    try:
        gc.collect()  # what the work before has left
        if CUDA:
            torch.cuda.empty_cache()
        return storable(work())
    except Exception as error:  # out of memory, a package that is missing, a kernel that the card lacks
        return {"failed": brief(f"{type(error).__name__}: {error}", MESSAGE)}


def storable(found: Any) -> Any:
    """Nested results with NaN and infinity, which JSON lacks, as words."""
    if isinstance(found, dict):
        return {key: storable(value) for key, value in found.items()}
    if isinstance(found, list):
        return [storable(value) for value in found]
    return str(found) if isinstance(found, float) and not np.isfinite(found) else found


def reset_memory() -> None:
    if CUDA:
        torch.cuda.reset_peak_memory_stats()


def peak_gib() -> float | None:
    """Most memory in PyTorch's tensors since `reset_memory`; None on a CPU."""
    return torch.cuda.max_memory_allocated() / 2**30 if CUDA else None


def share(flops_per_second: float, peak: float | None) -> float | None:
    return None if peak is None else flops_per_second / peak
