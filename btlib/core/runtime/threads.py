"""Runs one function over several networks or cases at once, each on cores of its own."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from joblib import Parallel, delayed


def side_by_side(function: Callable[[Any], Any], items: Sequence[Any], cores: int = 1) -> Iterator[Any]:
    """Yields `function(item)` in the order of `items`; the first exception ends the run and reaches the caller.

    A small network gains little from a second core, and the rounding of its sums depends on how many it has: where each
    call has one, its numbers are the same on every number of cores. Threads are enough, since PyTorch's kernels
    release the interpreter's lock. A GPU is given one call after another.

    Args:
        function: draws nothing from PyTorch's global generator, which the threads share, but in `keyed_layers`.
        cores: that each call has.
    """
    if torch.cuda.is_available():
        yield from map(function, items)
        return
    parallel = Parallel(max(1, torch.get_num_threads() // cores), prefer="threads", return_as="generator")
    yield from parallel(delayed(_on_cores)(cores, function, item) for item in items)


def _on_cores(cores: int, function: Callable[[Any], Any], item: Any) -> Any:
    torch.set_num_threads(cores)  # of this thread alone
    return function(item)
