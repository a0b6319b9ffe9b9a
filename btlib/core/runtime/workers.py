"""Distributes work over the cores of this computer or its GPU, or over a cluster. No other module decides that.

Here, decoding and drawing run in processes, networks in parallel threads or, on a GPU, one after the other. If
DASK_SCHEDULER_ADDRESS names the scheduler of a Dask cluster, all of them run on its workers, with the same results.
PyTorch and Dask take time to import and are imported only where they are needed.
"""

import os
import signal
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from uuid import uuid4

import cv2
from joblib import Parallel, cpu_count, delayed
from tqdm import tqdm

from btlib.core.runtime.errors import InputError
from btlib.core.runtime.memory import keep_freed_memory
from btlib.core.runtime.reproducibility import deterministic_torch, set_torch, torch_settings

if TYPE_CHECKING:
    import torch
    from lightning_fabric import Fabric

FEW = 4  # batches; for fewer, starting processes costs more than it saves
PRECISIONS = {"fp32": "32-true", "bf16": "bf16-mixed"}
TORCHRUN = {"GROUP_WORLD_SIZE": 1, "WORLD_SIZE": 0}  # what it tells each process: computers, processes
SCHEDULER = "DASK_SCHEDULER_ADDRESS"  # Dask's own setting

T = TypeVar("T")


def cluster() -> ModuleType | None:
    """The module that spreads calls over the configured cluster; None to work here, as a worker itself does.

    Raises:
        InputError: Dask is not installed.
    """
    if not os.environ.get(SCHEDULER):
        return None
    if not find_spec("distributed"):
        raise InputError(
            f"{SCHEDULER} is set, but Dask is not installed: pip install 'btlib[cluster]', or unset {SCHEDULER}"
        )
    from btlib.core.runtime import cluster

    return None if cluster.on_worker() else cluster


def run_on_cluster(address: str, words: Sequence[str]) -> None:
    """Checks a cluster and prints its workers, then replaces this process by a command whose stages work there.

    Args:
        words: of the command; none: only the check.

    Raises:
        InputError: the cluster cannot be reached, a worker is unfit, or there is no such command.
    """
    os.environ[SCHEDULER] = address
    elsewhere = cluster()
    elsewhere.join(address)
    elsewhere.leave(address)
    if words:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # Ctrl+C is for the command from here on
        try:
            os.execvp(words[0], words)
        except OSError as error:
            raise InputError(f"{words[0]}: cannot be run ({error.strerror})") from error


def stay_here() -> None:
    """From now on, this process uses no cluster: its input may lie on this computer alone."""
    os.environ.pop(SCHEDULER, None)


class Shared(Generic[T]):
    """What all calls of `side_by_side` use and none may copy, such as a data set on its device.

    On this computer it is made once, and threads share it. To a cluster only `make` and its arguments are sent, and
    each worker makes its own, which it keeps for further calls until it gets another one.

    Args:
        make: importable, like everything in `arguments`: paths and numbers.
    """

    _made: tuple[str, Any] = ("", None)  # of this process, the last one by its key

    def __init__(self, make: Callable[..., T], *arguments: Any, key: str | None = None):
        self.make, self.arguments = make, arguments
        # Another one for each run, since files may have changed in between.
        self.key = key or uuid4().hex
        self._value: list[T] = []

    @property
    def value(self) -> T:
        """Made on first use."""
        if not self._value:
            if Shared._made[0] != self.key:
                Shared._made = ("", None)  # frees the memory of the last one
                Shared._made = (self.key, self.make(*self.arguments))
            self._value.append(Shared._made[1])
        return self._value[0]

    def __reduce__(self) -> tuple:
        return partial(Shared, key=self.key), (self.make, *self.arguments)


def in_parallel(
    function: Callable[[Any], Any],
    items: Sequence[Any],
    task: str,
    unit: str = "image",
    batch: int = 16,
    jobs: int | None = None,
) -> Iterator[Any]:
    """Yields `function(item)` in the order of `items`.

    The function runs on the cluster, or here in separate processes (decoding images holds the GIL too much for
    threads): it must be importable, or a partial of an importable function. The first exception ends the run and is
    raised here.

    Args:
        unit: name of the items in the progress bar.
        batch: items given to a process at once; 1 if an item takes a second or more.
        jobs: processes here; None: one per core, or the cluster, but none for few items.
    """
    # When the run stops early, joblib adds a warning on discarded work to the actual error.
    warnings.filterwarnings("ignore", r"\d+ tasks have been successfully executed", UserWarning)
    few = len(items) < FEW * batch
    if not few and not jobs and (elsewhere := cluster()):
        results = elsewhere.spread(partial(_call_in_folder, Path.cwd(), function), items, batch)
    else:
        jobs = jobs or (1 if few else cpu_count())
        results = Parallel(n_jobs=jobs, return_as="generator", batch_size=batch, pre_dispatch=64)(
            delayed(_call_in_folder)(Path.cwd(), function, item) for item in items
        )
    yield from tqdm(results, total=len(items), desc=task, unit=unit, mininterval=0.5)


def side_by_side(function: Callable[[Any], Any], items: Sequence[Any], cores: int = 1) -> Iterator[Any]:
    """Yields `function(item)` in the order of `items`; the first exception ends the run and is raised here.

    For networks: a small one gains little from a second core, and the rounding of its sums depends on the number of
    cores; with one core per call, results are the same on any machine size. Threads suffice, since PyTorch's kernels
    release the GIL. On a GPU, calls run one after another; on a cluster, one per worker, with as many cores as here.

    Args:
        function: must not draw from PyTorch's global generator, which threads share, except in `keyed_layers`. What it
            uses beside its item is sent to a cluster, unless it is `Shared`.
        cores: per call.
    """
    import torch

    if elsewhere := cluster():
        yield from elsewhere.spread(partial(_call_as_here, torch_settings(), cores, function), items, nets=True)
        return
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
        devices: processes that share each batch (one per GPU; via gloo on a CPU), on this computer or, started by
            torchrun, in equal parts on several.
        precision: 'fp32', 'bf16', or 'auto': bf16 on CUDA only, since most CPUs emulate it slowly.

    Raises:
        InputError: torchrun has started another number of processes.
    """
    from lightning_fabric import Fabric

    deterministic_torch()
    keep_freed_memory()
    kind = best_device().type
    if precision == "auto":
        precision = "bf16" if kind == "cuda" else "fp32"
    nodes, started = (int(os.environ.get(name, default)) for name, default in TORCHRUN.items())
    if started not in (0, devices):
        raise InputError(f"training.devices: {devices}, but torchrun has started {started} processes; let them agree")
    strategy = "ddp" if devices > 1 else "auto"
    fabric = Fabric(
        accelerator=kind,
        devices=devices // nodes,
        num_nodes=nodes,
        strategy=strategy,
        precision=PRECISIONS[precision],
    )
    fabric.launch()
    return fabric


def _call_in_folder(folder: Path, function: Callable[[Any], Any], item: Any) -> Any:
    os.chdir(folder)  # joblib reuses processes, whose working folder may differ from the caller's
    cv2.setNumThreads(1)  # one thread per process, otherwise processes × threads compete for the cores
    return function(item)


def _call_as_here(settings: Any, cores: int, function: Callable[[Any], Any], item: Any) -> Any:
    set_torch(settings)  # a worker keeps those of earlier calls
    return _call_on_cores(cores, function, item)


def _call_on_cores(cores: int, function: Callable[[Any], Any], item: Any) -> Any:
    import torch

    torch.set_num_threads(cores)  # for this thread only
    return function(item)
