"""Runs one function over many items on every core, in order, with a progress bar."""

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
from joblib import Parallel, cpu_count, delayed
from tqdm import tqdm

FEW = 4  # batches; below this, starting processes costs more than it saves


def in_parallel(
    function: Callable[[Any], Any], items: Sequence[Any], task: str, unit: str = "image", batch: int = 16
) -> Iterator[Any]:
    """Yields `function(item)` in the order of `items`.

    The function runs in processes of its own (decoding images holds the interpreter's lock too much for threads):
    it must be importable, or a partial of something that is. The first exception ends the run and reaches the caller.

    Args:
        unit: what the progress bar counts.
        batch: items that a process gets at once; 1 where an item takes a second or more.
    """
    # When the run stops early, joblib adds a remark on work done in vain to the error that matters.
    warnings.filterwarnings("ignore", r"\d+ tasks have been successfully executed", UserWarning)
    jobs = cpu_count() if len(items) >= FEW * batch else 1
    results = Parallel(n_jobs=jobs, return_as="generator", batch_size=batch, pre_dispatch=64)(
        delayed(_at_home)(Path.cwd(), function, item) for item in items
    )
    yield from tqdm(results, total=len(items), desc=task, unit=unit, mininterval=0.5)


def _at_home(folder: Path, function: Callable[[Any], Any], item: Any) -> Any:
    os.chdir(folder)  # joblib uses processes again, and they stay where they were started: relative paths would miss
    cv2.setNumThreads(1)  # one thread per process, else processes × threads fight over the cores
    return function(item)
