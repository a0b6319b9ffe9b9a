"""Where work runs: on every core of this computer, or on its GPU. No other module decides that.

Decoding and drawing run in processes, networks beside each other in threads, on a GPU one after the other. PyTorch is
imported by what needs it alone: it takes seconds.
"""

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
from joblib import Parallel, cpu_count, delayed
from tqdm import tqdm

from btlib.core.runtime.memory import keep_freed_memory
from btlib.core.runtime.reproducibility import deterministic_torch

if TYPE_CHECKING:
    import torch
    from lightning_fabric import Fabric

FEW = 4  # batches; below this, starting processes costs more than it saves
PRECISIONS = {"fp32": "32-true", "bf16": "bf16-mixed"}


def in_parallel(
    function: Callable[[Any], Any],
    items: Sequence[Any],
    task: str,
    unit: str = "image",
    batch: int = 16,
    jobs: int | None = None,
) -> Iterator[Any]:
    """Yields `function(item)` in the order of `items`.

    The function runs in processes of its own (decoding images holds the interpreter's lock too much for threads):
    it must be importable, or a partial of something that is. The first exception ends the run and reaches the caller.

    Args:
        unit: what the progress bar counts.
        batch: items that a process gets at once; 1 where an item takes a second or more.
        jobs: processes; None: one for each core, or none for few items.
    """
    # When the run stops early, joblib adds a remark on work done in vain to the error that matters.
    warnings.filterwarnings("ignore", r"\d+ tasks have been successfully executed", UserWarning)
    jobs = jobs or (cpu_count() if len(items) >= FEW * batch else 1)
    results = Parallel(n_jobs=jobs, return_as="generator", batch_size=batch, pre_dispatch=64)(
        delayed(_at_home)(Path.cwd(), function, item) for item in items
    )
    yield from tqdm(results, total=len(items), desc=task, unit=unit, mininterval=0.5)


def side_by_side(function: Callable[[Any], Any], items: Sequence[Any], cores: int = 1) -> Iterator[Any]:
    """Yields `function(item)` in the order of `items`; the first exception ends the run and reaches the caller.

    For networks: a small one gains little from a second core, and the rounding of its sums depends on how many it has:
    where each call has one, its numbers are the same on every number of cores. Threads are enough, since PyTorch's
    kernels release the interpreter's lock. A GPU is given one call after another.

    Args:
        function: draws nothing from PyTorch's global generator, which the threads share, but in `keyed_layers`.
        cores: that each call has.
    """
    import torch

    if torch.cuda.is_available():
        yield from map(function, items)
        return
    parallel = Parallel(max(1, torch.get_num_threads() // cores), prefer="threads", return_as="generator")
    yield from parallel(delayed(_on_cores)(cores, function, item) for item in items)


def best_device() -> "torch.device":
    """The GPU if there is one, else the CPU."""
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def make_fabric(devices: int, precision: str) -> "Fabric":
    """A launched Lightning Fabric, for training, on the best device.

    Args:
        devices: processes that share each batch (one per GPU; over gloo on a CPU).
        precision: 'fp32', 'bf16', or 'auto': bf16 on CUDA only, since most CPUs emulate it slowly.
    """
    from lightning_fabric import Fabric

    deterministic_torch()
    keep_freed_memory()
    kind = best_device().type
    if precision == "auto":
        precision = "bf16" if kind == "cuda" else "fp32"
    strategy = "ddp" if devices > 1 else "auto"
    fabric = Fabric(accelerator=kind, devices=devices, strategy=strategy, precision=PRECISIONS[precision])
    fabric.launch()
    return fabric


def _at_home(folder: Path, function: Callable[[Any], Any], item: Any) -> Any:
    os.chdir(folder)  # joblib uses processes again, and they stay where they were started: relative paths would miss
    cv2.setNumThreads(1)  # one thread per process, else processes × threads fight over the cores
    return function(item)


def _on_cores(cores: int, function: Callable[[Any], Any], item: Any) -> Any:
    import torch

    torch.set_num_threads(cores)  # of this thread alone
    return function(item)
