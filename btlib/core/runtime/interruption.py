"""How a command ends before its time: on Ctrl+C, on SIGTERM, and a stage also when the `dvc` that runs it is gone.

With one line, within two seconds, and with no process left behind. A thread waits for it, since the main one may be
deep in a computation. It says the line and kills the processes that this one started; then the main thread unwinds, so
that temporary files go; where that takes longer than `GRACE`, the process ends all the same. Outputs are whole or
absent at any moment (see `btlib.core.runtime.artifacts`), so none is harmed.
"""

import atexit
import os
import select
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from types import FrameType

import psutil

from btlib.core.runtime.artifacts import UNFINISHED
from btlib.core.runtime.leftovers import sweep_shared_memory

SIGNALS = (signal.SIGINT, signal.SIGTERM)
GRACE = 1.0  # seconds
LOOK = 0.5  # seconds from one look at whether DVC still lives to the next


@contextmanager
def interruptible(name: str, advice: str = "") -> Iterator[None]:
    """While the block runs, Ctrl+C and SIGTERM end the process as this module says, with exit code 128 + signal.

    Child processes are started with SIGINT blocked: the Ctrl+C of a terminal reaches all of them, and each would print
    a traceback of its own.

    Args:
        name: of the command, before the line: 'train_stage2: stopped; …'.
        advice: what the line ends with.
    """
    watch = _Watch(f"{name}: stopped" + (f"; {advice}" if advice else ""))
    try:
        yield
    finally:
        if watch.code:
            with suppress(Exception):
                sys.stdout.flush()
            atexit._run_exitfuncs()  # temporary files of libraries; the end of the interpreter itself would wait
            watch.end()
        watch.close()


class _Watch:
    """Waits for a signal, in a thread of its own; `code` is the exit code once one has come."""

    def __init__(self, line: str):
        self.line = line
        self.code = 0
        self.unwinding = False
        self.told, self.telling = os.pipe()
        os.set_blocking(self.telling, False)
        self.handlers = {number: signal.signal(number, self._unwind) for number in SIGNALS}
        self.wakeup = signal.set_wakeup_fd(self.telling, warn_on_full_buffer=False)
        resource_tracker.ensure_running()  # or it starts with the first worker, and lets SIGINT through to the others
        # of this thread, and of all that it starts
        self.mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        threading.Thread(target=self._wait, daemon=True).start()

    def close(self) -> None:
        """Leaves signals as they were, and lets the thread go."""
        signal.set_wakeup_fd(self.wakeup)
        for number, handler in self.handlers.items():
            signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, self.mask)
        os.close(self.telling)

    def end(self) -> None:
        """Ends the process at once, and what it started."""
        _kill_children()
        for folder in list(UNFINISHED):
            shutil.rmtree(folder, ignore_errors=True)
        sweep_shared_memory(ended=os.getpid())
        os._exit(self.code)

    def _wait(self) -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        number = self._signal()
        if not number:
            return
        if os.environ.get("LOCAL_RANK", "0") == "0":  # of several processes of one training, the first speaks
            os.write(2, f"\n{self.line}\n".encode())
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what libraries say of it helps nobody
        self.code = 128 + number
        _kill_children()
        signal.pthread_kill(threading.main_thread().ident, signal.SIGTERM)
        time.sleep(GRACE)
        self.end()

    def _signal(self) -> int | None:
        """The signal that ends the process, once it comes; None when the watch is closed."""
        ancestors = _ancestors()
        while True:
            if select.select([self.told], [], [], LOOK)[0]:
                told = os.read(self.told, 1)
                if not told:
                    os.close(self.told)
                    return None
                if told[0] in SIGNALS:
                    return told[0]
            elif _ancestors() != ancestors:
                return signal.SIGTERM

    def _unwind(self, number: int, frame: FrameType | None) -> None:
        if self.code and not self.unwinding:  # not before the line is said; and a second Ctrl+C disturbs no tidying
            self.unwinding = True
            raise SystemExit(self.code)


def _ancestors() -> tuple[int, ...]:
    """For a stage that DVC runs, its parent, and the parent of the shell between them; () for any other process.

    A process whose parent dies gets another one.
    """
    if "DVC_STAGE" not in os.environ:
        return ()
    parent = os.getppid()
    with suppress(psutil.Error):
        process = psutil.Process(parent)
        return (parent, process.ppid()) if "-c" in process.cmdline()[:4] else (parent,)
    return (parent,)


def _kill_children() -> None:
    with suppress(psutil.Error):
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                child.kill()
