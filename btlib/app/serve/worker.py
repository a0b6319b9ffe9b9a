"""The process that opens uploads and answers them; it is killed and replaced when one hurts it or its sender has left.

The server itself decodes nothing and holds no model: it stays small, and nothing that is sent can bring it down.
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
    from btlib.app.serve.predictors import Predictors  # imports PyTorch, which the server does without

GIB = 12.0  # of memory that the process may use
SECONDS_TO_START = 300.0  # PyTorch and the models, from a slow disk
SECONDS_TO_OPEN = 60.0
SECONDS_TO_ANSWER = {"slice": 60.0, "case": 300.0}
BROUGHT_DOWN = Lost("brought down the program that decodes it")

_predictors: "Predictors | Exception"  # of this process, where it is such a worker; or why there are none


class Bug(Exception):
    """An error of ours. Its message says where, and quotes nothing of the upload."""


class Reply(NamedTuple):
    """What goes back to the page: a status, and a body in JSON."""

    status: int
    body: bytes


class Worker:
    """Answers one upload at a time."""

    def __init__(self, load: Callable[[], "Predictors"]) -> None:
        """`load` is importable, or a partial of something that is: it runs in the process."""
        self._load = load
        self._opened = ExitStack()
        self._pool: Any = None

    def start(self) -> dict[str, Any]:
        """Loads the models, and returns what a visitor should know of them, as `Predictors.described`.

        Raises:
            InputError: a model folder is damaged.
        """
        multiprocessing.set_forkserver_preload(["btlib.app.serve.predictors"])  # a replacement starts at once
        found = outcome(self._scheduled(described, (), SECONDS_TO_START), SECONDS_TO_START, GIB)
        if isinstance(found, Lost):
            raise InputError(f"the models: loading them {found.reason}")
        return found

    def stop(self) -> None:
        """Kills the process, whatever it does, and returns when it is dead. The next upload gets another one."""
        self._pool = None
        self._opened.close()

    async def answer(self, place: Path, choice: str) -> Reply | Lost:
        """The reply to an upload, or how it hurt the process.

        Args:
            place: as `uploads.stored` yields it.
            choice: see `Predictors.answer`.

        Raises:
            InputError: the upload cannot be opened.
            Bug: the fault is ours.
        """
        found = await self._done(opened, (place,), SECONDS_TO_OPEN)
        if isinstance(found, Lost):
            return found
        return await self._done(reply, (found, choice), SECONDS_TO_ANSWER[found.kind])

    async def _done(self, task: Callable, arguments: tuple, seconds: float) -> Any:
        """The result, tried once more where the process was already dead, or starting, when it went down."""
        found = await self._tried(task, arguments, seconds)
        return await self._tried(task, arguments, seconds) if found is BROUGHT_DOWN else found

    async def _tried(self, task: Callable, arguments: tuple, seconds: float) -> Any:
        """The result; whoever cancels this has the process killed."""
        future = self._scheduled(task, arguments, seconds)
        try:
            with suppress(Exception):  # `outcome` tells them apart
                await asyncio.wait_for(asyncio.wrap_future(future), SECONDS_TO_START + seconds)
            return outcome(future, seconds, GIB)
        except asyncio.CancelledError:
            await self._stopped()
            raise
        except (CancelledError, BrokenProcessPool):  # it hangs or dies before it begins
            await self._stopped()
            return BROUGHT_DOWN

    async def _stopped(self) -> None:
        with CancelScope(shield=True):
            await to_thread.run_sync(self.stop)

    def _scheduled(self, task: Callable, arguments: tuple, seconds: float) -> Future:
        if self._pool and not self._pool.active:  # the process was killed while it had nothing to do
            self.stop()
        if not self._pool:
            self._pool = self._opened.enter_context(processes(1, GIB, _prepare, (self._load,)))
        return self._pool.schedule(_run, (task, *arguments), timeout=seconds)


def load_models(models: Path) -> "Predictors":
    """As `Predictors.load`; for a process of its own."""
    from btlib.app.serve.predictors import Predictors

    return Predictors.load(models)


def described(predictors: "Predictors") -> dict[str, Any]:
    """As `Predictors.described`."""
    return predictors.described()


def opened(predictors: "Predictors", place: Path) -> Opened:
    """As `Predictors.opened`."""
    return predictors.opened(place)


def reply(predictors: "Predictors", upload: Opened, choice: str) -> Reply:
    """The answer (200), or what is wrong with the upload and what could be chosen instead (422)."""
    try:
        status, body = 200, predictors.answer(upload, choice)
    except InputError as error:
        status, body = 422, {"error": str(error), "proposals": predictors.proposals(upload)}
    return Reply(status, json.dumps(body, allow_nan=False, separators=(",", ":")).encode())


def run(predictors: "Predictors", task: Callable, *arguments: Any) -> Any:
    """`task(predictors, *arguments)`.

    Raises:
        MemoryError: also where PyTorch or OpenCV calls it otherwise.
        Bug: of everything else but InputError.
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
    except Exception as error:  # told by the first task; a process that ends here would be started again and again
        _predictors = error


def _run(task: Callable, *arguments: Any) -> Any:
    if isinstance(_predictors, Exception):
        raise _predictors
    return run(_predictors, task, *arguments)
