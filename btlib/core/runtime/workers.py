"""Distributes work over the cores of this computer or its GPU. No other module decides that.

Decoding and drawing run in processes, networks in parallel threads or, on a GPU, one after the other. PyTorch takes
seconds to import and is imported only where it is needed.
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

FEW = 4  # batches; for fewer, starting processes costs more than it saves
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

    The function runs in separate processes (decoding images holds the GIL too much for threads): it must be importable,
    or a partial of an importable function. The first exception ends the run and is raised here.

    Args:
        unit: name of the items in the progress bar.
        batch: items given to a process at once; 1 if an item takes a second or more.
        jobs: processes; None: one per core, or none for few items.
    """
    # When the run stops early, joblib adds a warning on discarded work to the actual error.
    warnings.filterwarnings("ignore", r"\d+ tasks have been successfully executed", UserWarning)
    jobs = jobs or (cpu_count() if len(items) >= FEW * batch else 1)
    results = Parallel(n_jobs=jobs, return_as="generator", batch_size=batch, pre_dispatch=64)(
        delayed(_call_in_folder)(Path.cwd(), function, item) for item in items
    )
    yield from tqdm(results, total=len(items), desc=task, unit=unit, mininterval=0.5)


def side_by_side(function: Callable[[Any], Any], items: Sequence[Any], cores: int = 1) -> Iterator[Any]:
    """Yields `function(item)` in the order of `items`; the first exception ends the run and is raised here.

    For networks: a small one gains little from a second core, and the rounding of its sums depends on the number of
    cores; with one core per call, results are the same on any machine size. Threads suffice, since PyTorch's kernels
    release the GIL. On a GPU, calls run one after another.

    Args:
        function: must not draw from PyTorch's global generator, which threads share, except in `keyed_layers`.
        cores: per call.
    """
    import torch

    if torch.cuda.is_available():
        yield from map(function, items)
        return
    parallel = Parallel(max(1, torch.get_num_threads() // cores), prefer="threads", return_as="generator")
    yield from parallel(delayed(_call_on_cores)(cores, function, item) for item in items)


def best_device() -> "torch.device":
    """The GPU if there is one, else the CPU."""
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def make_fabric(devices: int, precision: str) -> "Fabric":
    """A launched Lightning Fabric, for training, on the best device.

    Args:
        devices: processes that share each batch (one per GPU; via gloo on a CPU).
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


def _call_in_folder(folder: Path, function: Callable[[Any], Any], item: Any) -> Any:
    os.chdir(folder)  # joblib reuses processes, whose working folder may differ from the caller's
    cv2.setNumThreads(1)  # one thread per process, otherwise processes × threads compete for the cores
    return function(item)


def _call_on_cores(cores: int, function: Callable[[Any], Any], item: Any) -> Any:
    import torch

    torch.set_num_threads(cores)  # for this thread only
    return function(item)
