"""The worker process that opens and answers uploads; it is replaced when an upload crashes it or its client leaves.

The server itself decodes nothing and holds no model: it stays small, and no upload can crash it.
"""

import asyncio
import json
import multiprocessing
import traceback
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from anyio import CancelScope, to_thread

from btlib.app.serve.uploads import Opened
from btlib.core.runtime.errors import InputError
from btlib.core.runtime.isolation import Lost, outcome, processes

if TYPE_CHECKING:
    from btlib.app.serve.predictors import Predictors  # imports PyTorch, which the server does not need

GIB = 12.0  # of memory that the process may use
SECONDS_TO_START = 300.0  # to load PyTorch and the models from a slow disk
SECONDS_TO_OPEN = 60.0
SECONDS_TO_ANSWER = {"slice": 60.0, "case": 300.0}
CRASHED = Lost("crashed the program that decodes it")

_predictors: "Predictors | Exception"  # of this process if it is a worker, or the error that prevented loading


class Bug(Exception):
    """A bug in btlib. Its message gives the location, without quoting the upload."""


class Reply(NamedTuple):
    """Response to the page: a status, and a JSON body."""

    status: int
    body: bytes


class Worker:
    """Answers one upload at a time."""

    def __init__(self, load: Callable[[], "Predictors"]) -> None:
        """`load` must be importable, or a partial of an importable function: it runs in the process."""
        self._load = load
        self._opened = ExitStack()
        self._pool: Any = None

    def start(self) -> dict[str, Any]:
        """Loads the models, and returns `Predictors.described`.

        Raises:
            InputError: a model folder is damaged.
        """
        multiprocessing.set_forkserver_preload(["btlib.app.serve.predictors"])  # a replacement starts at once
        found = outcome(self._schedule(described, (), SECONDS_TO_START), SECONDS_TO_START, GIB)
        if isinstance(found, Lost):
            raise InputError(f"the models: loading them {found.reason}")
        return found

    def stop(self) -> None:
        """Kills the process and returns when it is dead. The next upload gets a new one."""
        self._pool = None
        self._opened.close()

    async def answer(self, place: Path, choice: str) -> Reply | Lost:
        """The reply to an upload, or how it crashed the process.

        Args:
            place: as yielded by `uploads.stored`.
            choice: see `Predictors.answer`.

        Raises:
            InputError: the upload cannot be opened.
            Bug: an error in btlib.
        """
        found = await self._run_with_retry(opened, (place,), SECONDS_TO_OPEN)
        if isinstance(found, Lost):
            return found
        return await self._run_with_retry(reply, (found, choice), SECONDS_TO_ANSWER[found.kind])

    async def _run_with_retry(self, task: Callable, arguments: tuple, seconds: float) -> Any:
        """The result, retried once if the process died before the task began."""
        found = await self._run_once(task, arguments, seconds)
        return await self._run_once(task, arguments, seconds) if found is CRASHED else found

    async def _run_once(self, task: Callable, arguments: tuple, seconds: float) -> Any:
        """The result; cancelling this kills the process."""
        future = self._schedule(task, arguments, seconds)
        try:
            with suppress(Exception):  # `outcome` distinguishes them
                await asyncio.wait_for(asyncio.wrap_future(future), SECONDS_TO_START + seconds)
            return outcome(future, seconds, GIB)
        except asyncio.CancelledError:
            await self._stop_in_thread()
            raise
        except (CancelledError, BrokenProcessPool):  # it hung or died before it began
            await self._stop_in_thread()
            return CRASHED

    async def _stop_in_thread(self) -> None:
        with CancelScope(shield=True):
            await to_thread.run_sync(self.stop)

    def _schedule(self, task: Callable, arguments: tuple, seconds: float) -> Future:
        if self._pool and not self._pool.active:  # the process was killed while idle
            self.stop()
        if not self._pool:
            self._pool = self._opened.enter_context(processes(1, GIB, _prepare, (self._load,)))
        return self._pool.schedule(_run, (task, *arguments), timeout=seconds)


def load_models(models: Path) -> "Predictors":
    """As `Predictors.load`, for the worker process."""
    from btlib.app.serve.predictors import Predictors

    return Predictors.load(models)


def described(predictors: "Predictors") -> dict[str, Any]:
    """As `Predictors.described`."""
    return predictors.described()


def opened(predictors: "Predictors", place: Path) -> Opened:
    """As `Predictors.opened`."""
    return predictors.opened(place)


def reply(predictors: "Predictors", upload: Opened, choice: str) -> Reply:
    """The answer (200), or the upload's fault and the scans to choose from (422)."""
    try:
        status, body = 200, predictors.answer(upload, choice)
    except InputError as error:
        status, body = 422, {"error": str(error), "proposals": predictors.proposals(upload)}
    return Reply(status, json.dumps(body, allow_nan=False, separators=(",", ":")).encode())


def run(predictors: "Predictors", task: Callable, *arguments: Any) -> Any:
    """Calls `task(predictors, *arguments)`.

    Raises:
        MemoryError: also for out-of-memory errors of PyTorch and OpenCV.
        Bug: for any other error except InputError.
    """
    try:
        return task(predictors, *arguments)
    except (InputError, MemoryError):
        raise
    except Exception as error:
        if "memory" in str(error).lower():
            raise MemoryError from None
        where = "".join(traceback.format_tb(error.__traceback__))
        raise Bug(f"{type(error).__name__}\n{where}") from None  # the message may quote the upload


def _prepare(load: Callable[[], "Predictors"]) -> None:
    global _predictors
    try:
        _predictors = load()
    except Exception as error:  # raised by the first task; a process that ended here would be restarted for ever
        _predictors = error


def _run(task: Callable, *arguments: Any) -> Any:
    if isinstance(_predictors, Exception):
        raise _predictors
    return run(_predictors, task, *arguments)
