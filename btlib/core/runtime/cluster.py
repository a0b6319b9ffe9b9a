"""Runs calls on a Dask cluster. Used by `btlib.core.runtime.workers`, which decides what runs there.

A call is a function and its items, sent as pickles; workers must see the project's folder at the same path and run the
same code with the same libraries. Each checks that when it gets its first call of a run, however late it joins: a
cluster may grow, and replaces workers that die. Calls of a dead worker run again on another one.
"""

import atexit
import hashlib
import logging
import multiprocessing
import os
import platform
import re
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import redirect_stdout, suppress
from functools import cache
from importlib import metadata
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import distributed
from distributed import Client, KilledWorker, Scheduler, Worker, get_worker
from distributed.protocol.pickle import dumps, loads

from btlib.core.runtime.artifacts import write_json
from btlib.core.runtime.errors import InputError, brief, listed
from btlib.core.runtime.workers import SCHEDULER

TOKENS = Path(".btlib/cluster")
PACKAGE = Path(__file__).parents[2]
AHEAD = 64  # batches sent before the first is back, or two per worker, if those are more
GPU = "GPU"  # the resource of a worker that may train a network on its GPU


def _revision() -> str:
    digest = hashlib.blake2b(digest_size=8)
    for path in sorted(PACKAGE.rglob("*.py")):
        digest.update(str(path.relative_to(PACKAGE)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


REVISION = _revision()  # of the code that this process has imported, even if the files change later


class Wanted(NamedTuple):
    """What a worker must have: the project's `folder` with the file `token` in it, written by this run; the code; the
    versions of Python and of the libraries, by name."""

    folder: Path
    token: Path
    code: str
    versions: tuple[tuple[str, str], ...]


class Member(NamedTuple):
    """A worker, and why it must not take part ('' if it may); `processor`: instructions that PyTorch uses."""

    address: str
    unfit: str
    gpu: str
    processor: str


def spread(function: Callable[[Any], Any], items: Sequence[Any], batch: int = 1, nets: bool = False) -> Iterator[Any]:
    """Yields `function(item)` in the order of `items`; the first exception ends the run and is raised here.

    What the function prints is printed here.

    Args:
        batch: items of a call.
        nets: the function runs a network: one at a time on each GPU, if the cluster has any.

    Raises:
        InputError: the cluster cannot be reached or used, or was lost.
    """
    yield from _joined(os.environ[SCHEDULER]).spread(function, items, batch, nets)


def size() -> int:
    """Number of workers now."""
    return len(_joined(os.environ[SCHEDULER]).client.nthreads())


def on_worker() -> bool:
    """Whether this process is a worker, on which everything runs in place."""
    with suppress(ValueError):
        return bool(get_worker())
    return False


def join(address: str) -> None:
    """Connects to a cluster, if that is not done yet, and prints its workers and the dashboard's address.

    Raises:
        InputError: the cluster cannot be reached, or a worker is unfit.
    """
    _joined(address)


def leave(address: str) -> None:
    """Ends the connection."""
    _joined(address).leave()
    _joined.cache_clear()


class Cluster:
    """A connection to a scheduler whose present workers are fit; waits for the first one.

    Raises:
        InputError: no scheduler answers, or workers are unfit; lists them.
    """

    def __init__(self, address: str):
        self.address = address
        logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # what is lost is said below
        try:
            self.client = Client(address, set_as_default=False)
        except (OSError, ValueError, TypeError) as error:
            raise InputError(
                f"{SCHEDULER}: no scheduler answers at {brief(address)} ({brief(error)}); start one (docs/cluster.md), "
                f"or unset {SCHEDULER} to work on this computer"
            ) from error
        self.wanted = Wanted(Path.cwd(), TOKENS / f"{uuid4().hex}.json", REVISION, versions())
        write_json(self.wanted.folder / self.wanted.token, {"computer": platform.node()})
        atexit.register(self.leave)
        if not self.client.nthreads():
            print(f"{address}: waiting for the first worker; dashboard: {self.client.dashboard_link}", flush=True)
            self.client.wait_for_workers(1)
        members = self._members()
        self.gpus = sum(bool(member.gpu) for member in members)
        print(_described(address, members, self.client.dashboard_link), flush=True)

    def leave(self) -> None:
        """Ends the connection, and removes what tells workers that they see the project."""
        (self.wanted.folder / self.wanted.token).unlink(missing_ok=True)
        self.client.close()

    def spread(self, function: Callable[[Any], Any], items: Sequence[Any], batch: int, nets: bool) -> Iterator[Any]:
        """See `spread`."""
        resources = {GPU: 1} if nets and self.gpus else None
        rest = iter(items)
        # The function may hold networks and volumes: as a task of its own it goes to each worker once, and is there
        # again after a worker with the only copy has died. As bytes it is nothing that the scheduler would unpack.
        carried = self.client.submit(loads, dumps(function), pure=False)
        waiting: deque = deque()
        sent = 0
        try:
            while True:
                while len(waiting) < AHEAD or len(waiting) < 2 * len(self.client.nthreads()):
                    if not (chunk := list(islice(rest, batch))):
                        break
                    call = (_work, self.wanted, carried, dumps(chunk))
                    waiting.append(self.client.submit(*call, resources=resources, priority=-sent, pure=False))
                    sent += 1
                if not waiting:
                    return
                yield from waiting.popleft().result()
        except KilledWorker as error:
            raise InputError(
                f"{self.address}: several workers died of the same task, most often for want of memory; give them "
                f"more, and run the same command again ({brief(error)})"
            ) from error
        except (CancelledError, OSError) as error:
            if not isinstance(error, CancelledError) and self.client.status == "running":
                raise  # of the function
            raise InputError(
                f"{self.address}: the scheduler is gone, or it dropped this run ({brief(error)}); start it and its "
                "workers again, then run the same command again: what is finished stays"
            ) from error
        finally:
            with suppress(Exception):  # the scheduler may be gone
                self.client.cancel(list(waiting), force=True)

    def _members(self) -> list[Member]:
        try:
            self.client.run_on_scheduler(_is_there)
        except Exception as error:  # of the scheduler, whichever it is
            raise InputError(
                f"{self.address}: the scheduler cannot import btlib ({brief(error)}); start it in the project's "
                "environment"
            ) from error
        answers = self.client.run(_member, self.wanted, on_error="return")
        members = [
            one if isinstance(one, Member) else Member(address, f"cannot import btlib ({brief(one)})", "", "")
            for address, one in sorted(answers.items())
        ]
        faults = [f"{member.address} {member.unfit}" for member in members if member.unfit]
        if faults:
            raise InputError(
                f"{self.address}: {len(faults)} of {len(members)} workers cannot take part:\n{listed(faults)}"
            )
        if not any(member.gpu for member in members) and _gpus():
            raise InputError(
                f"{self.address}: this computer has a GPU, but no worker has: networks would be slower there. Start "
                "workers with GPUs (docs/cluster.md), or hide the one here with CUDA_VISIBLE_DEVICES="
            )
        return members


@cache
def _joined(address: str) -> Cluster:
    return Cluster(address)


def versions(names: Sequence[str] | None = None) -> tuple[tuple[str, str], ...]:
    """Python's version and those of distributions, '' for a missing one; by default of btlib's own dependencies."""
    if names is None:
        own = [entry for entry in metadata.requires("btlib") or () if "extra" not in entry]
        names = ["Python", *(re.split(r"[^\w.-]", entry)[0] for entry in own), "dask", "distributed"]
    return tuple((name, platform.python_version() if name == "Python" else _version(name)) for name in names)


def _version(name: str) -> str:
    with suppress(metadata.PackageNotFoundError):
        return metadata.version(name)
    return ""


def _described(address: str, members: Sequence[Member], dashboard: str) -> str:
    workers = "1 worker" if len(members) == 1 else f"{len(members)} workers"
    lines = [f"{address}: {workers}; dashboard: {dashboard}"]
    lines += [f"  {member.address} {member.gpu or member.processor}" for member in members]
    here = _processor()
    others = sorted({member.processor for member in members if not member.gpu} - {here})
    if others:
        lines.append(
            f"  Some processors compute with {', '.join(others)}, this one with {here}: last digits may differ."
        )
    return "\n".join(lines)


def _gpus() -> int:
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def _processor() -> str:
    import torch

    return torch.backends.cpu.get_cpu_capability()


# On the scheduler and the workers


def _is_there(dask_scheduler: Scheduler) -> bool:
    return True


def _member(wanted: Wanted, dask_worker: Worker) -> Member:
    import torch

    name = torch.cuda.get_device_name() if _gpus() else ""
    return Member(dask_worker.address, _unfit(wanted, dask_worker), name, _processor())


def _work(wanted: Wanted, function: Callable[[Any], Any], items: bytes) -> list[Any]:
    _refuse_unfit(wanted)
    os.chdir(wanted.folder)
    # A daemon, as Dask's workers are, may have no children; ours (`isolation`) die with their parent.
    multiprocessing.current_process()._config["daemon"] = False
    with redirect_stdout(_Relay()):
        return [function(item) for item in loads(items)]


@cache
def _refuse_unfit(wanted: Wanted) -> None:
    worker = get_worker()
    if reason := _unfit(wanted, worker):
        raise InputError(f"worker {worker.address} {reason}")


def _unfit(wanted: Wanted, worker: Worker) -> str:
    """Why a worker must not take part, following its address; '' if it may."""
    if not (wanted.folder / wanted.token).is_file():
        return f"does not see the project's folder {wanted.folder}: it must be at this path, on a shared file system"
    if wanted.code != REVISION:
        return "runs another revision of btlib: let it import the project's, and start it again after changes"
    found = dict(versions([name for name, _ in wanted.versions]))
    if unlike := [f"{name} {found[name] or 'missing'}, here {v}" for name, v in wanted.versions if found[name] != v]:
        return f"has other libraries ({'; '.join(unlike)}): start it in the project's environment"
    if worker.state.nthreads != 1:
        return f"has {worker.state.nthreads} threads: start it with --nthreads 1, and more of them for more cores"
    declared, seen = worker.state.total_resources.get(GPU, 0), _gpus()
    if declared != min(seen, 1) or seen > 1:
        return (
            f"sees {seen} GPUs and offers {declared:g}: start one worker per GPU, with CUDA_VISIBLE_DEVICES naming it "
            "and --resources GPU=1; for a worker without a GPU, CUDA_VISIBLE_DEVICES= and no such resource"
        )
    return ""


class _Relay:
    """Sends printed lines to the computer that asked for the work."""

    def __init__(self):
        self.line = ""

    def write(self, text: str) -> int:
        *lines, self.line = (self.line + text).split("\n")
        with redirect_stdout(sys.__stdout__):  # Dask prints on the worker too
            for line in lines:
                distributed.print(line)
        return len(text)

    def flush(self) -> None:
        """Whole lines only."""
