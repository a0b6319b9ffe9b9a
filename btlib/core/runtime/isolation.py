"""Runs a function on untrusted input in limited processes, which are killed and replaced if an item crashes them.

A damaged file may make a decoder crash its process, run for ever, or exhaust memory. The caller is protected: the item
counts as lost, with the reason, and the others continue.
"""

import ctypes
import multiprocessing
import os
import resource
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import TimeoutError
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from functools import partial
from itertools import chain
from multiprocessing import forkserver, resource_tracker
from pathlib import Path
from typing import Any, NamedTuple

import cv2
from joblib import cpu_count
from pebble import ProcessExpired, ProcessPool
from tqdm import tqdm

from btlib.core.runtime.workers import cluster

SECONDS = 60.0  # for one item
GIB = 6.0  # of memory for one process
BREAKDOWNS = 3  # of the pool in a row, before the item in turn counts as lost
FEWEST, MOST = 4, 16  # batches of a call to a cluster's worker
DEATH_OF_PARENT = 1  # PR_SET_PDEATHSIG of prctl(2)


class Lost(NamedTuple):
    """An item that crashed its process or exceeded a limit; `reason` follows the item's name: 'took more than 60 s'."""

    reason: str


CRASHED = Lost("crashed the program that decodes it: damaged or malicious")


def in_isolation(
    function: Callable[[Any], Any],
    items: Sequence[Any],
    task: str,
    unit: str = "image",
    batch: int = 16,
    seconds: float = SECONDS,
    gib: float = GIB,
    done: int = 0,
) -> Iterator[Any]:
    """Yields `function(item)` in the order of `items`, or `Lost` for one that crashed its process; with a progress bar.

    With a cluster, its workers each have such a process.

    Args:
        function: importable, or a partial of an importable function. Its exceptions end the run and are raised here.
        unit: name of the items in the progress bar.
        batch: items given to a process at once; 1 if an item takes a second or more.
        seconds: time limit for one item.
        gib: memory limit of one process.
        done: items of the whole that an earlier run dealt with, for the progress bar.
    """
    isolated = partial(_isolated, function, batch=batch, seconds=seconds, gib=gib)
    if len(items) > FEWEST * batch and (elsewhere := cluster()):
        # A worker starts a process for each of its calls, which takes half a second: so more items are in one.
        share = min(max(-(-len(items) // (4 * elsewhere.size())), FEWEST * batch), MOST * batch)
        chunks = [items[start : start + share] for start in range(0, len(items), share)]
        found = chain.from_iterable(elsewhere.spread(partial(_isolated_list, isolated), chunks))
    else:
        found = isolated(items, workers=cpu_count())
    yield from tqdm(found, total=done + len(items), initial=done, desc=task, unit=unit, mininterval=0.5)


def _isolated_list(isolated: Callable[..., Iterator[Any]], items: Sequence[Any]) -> list[Any]:
    return list(isolated(items, workers=1))


def _isolated(
    function: Callable[[Any], Any], items: Sequence[Any], batch: int, seconds: float, gib: float, workers: int
) -> Iterator[Any]:
    finished, breakdowns = 0, 0
    while finished < len(items):
        try:
            for result in _in_pool(function, items[finished:], batch, seconds, gib, workers):
                finished, breakdowns = finished + 1, 0
                yield result
        except BrokenProcessPool:  # on a busy machine, pebble may miss that the process that crashed had a task
            breakdowns += 1
            if breakdowns == BREAKDOWNS:
                finished, breakdowns = finished + 1, 0
                yield CRASHED


def _in_pool(
    function: Callable[[Any], Any], items: Sequence[Any], batch: int, seconds: float, gib: float, workers: int
) -> Iterator[Any]:
    """As `_isolated`, with one pool, which may break down."""
    chunks = deque(range(0, len(items), batch))
    workers = min(workers, len(chunks))
    with processes(workers, gib) as pool:
        waiting: deque = deque()
        while chunks or waiting:
            while chunks and len(waiting) <= 2 * workers:  # only a few ahead, to limit the memory of results
                start = chunks.popleft()
                chunk = items[start : start + batch]
                waiting.append((chunk, pool.schedule(_each, (function, chunk), timeout=seconds)))
            yield from _results(pool, function, *waiting.popleft(), seconds, gib)


def _results(
    pool: ProcessPool, function: Callable, chunk: Sequence[Any], future: Any, seconds: float, gib: float
) -> Sequence[Any]:
    """Results of a chunk; if it was lost, each item is retried by itself."""
    found = outcome(future, seconds, gib)
    if not isinstance(found, Lost):
        return found
    if len(chunk) == 1:
        return [found]
    alone = (pool.schedule(_each, (function, [item]), timeout=seconds) for item in chunk)
    return [found if isinstance(found, Lost) else found[0] for found in (outcome(one, seconds, gib) for one in alone)]


def outcome(future: Any, seconds: float = SECONDS, gib: float = GIB) -> Any:
    """The result of a future of `processes`, or a `Lost`."""
    try:
        return future.result()
    except TimeoutError:
        return Lost(f"took more than {seconds:g} s, unlike any intact file")
    except MemoryError:
        return Lost(f"needs more than {gib:g} GiB of memory, unlike ordinary files")
    except ProcessExpired:
        return CRASHED


@contextmanager
def processes(
    workers: int, gib: float = GIB, prepare: Callable[..., None] | None = None, arguments: tuple = ()
) -> Iterator[ProcessPool]:
    """A pool of processes limited to `gib` of memory, which end with this one, however it ends.

    `pool.schedule(function, (argument,), timeout=seconds)` returns a future for `outcome`; a process that takes longer
    or crashes is replaced.

    Args:
        prepare: called with `arguments` once in each process, to load data shared by all tasks.
    """
    method = "forkserver" if sys.platform == "linux" else "spawn"
    context = multiprocessing.get_context(method)
    if method == "forkserver":
        _start_forkserver()
    confine = (Path.cwd(), int(gib * 2**30), prepare, arguments)
    pool = ProcessPool(workers, initializer=_confine, initargs=confine, context=context)
    try:
        yield pool
    finally:
        pool.stop()
        pool.join()


def _start_forkserver() -> None:
    """Its processes inherit blocked Ctrl+C and silenced output: one still starting when the command ends would print a
    traceback."""
    resource_tracker.ensure_running()  # otherwise the fork server starts it, which unblocks Ctrl+C
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    stderr = os.dup(2)
    try:
        _silence()
        forkserver.ensure_running()
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _silence() -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)


def _confine(folder: Path, memory: int, prepare: Callable[..., None] | None, arguments: tuple) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the caller handles Ctrl+C and stops the pool
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(DEATH_OF_PARENT, signal.SIGKILL)
        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _silence()  # C decoders print warnings of no use to the caller
    os.dup2(2, 1)
    os.chdir(folder)
    cv2.setNumThreads(1)  # one thread per process, otherwise processes × threads compete for the cores
    if prepare:
        prepare(*arguments)


def _each(function: Callable[[Any], Any], chunk: Sequence[Any]) -> list[Any]:
    return [function(item) for item in chunk]
