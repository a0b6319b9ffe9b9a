"""Clean interruption of a command: by Ctrl+C, by SIGTERM and, for a stage, by the end of the `dvc` that runs it.

It prints one line, ends within two seconds and leaves no process behind. A thread waits for the signal, since the main
one may be busy computing. It prints the line and kills the child processes; then the main thread unwinds, which removes
temporary files; if that takes longer than `GRACE`, the process ends anyway. Outputs are written atomically (see
`btlib.core.runtime.artifacts`), so none is damaged.
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
POLL = 0.5  # seconds between checks that DVC is still running


@contextmanager
def interruptible(name: str, advice: str = "") -> Iterator[None]:
    """While the block runs, Ctrl+C and SIGTERM end the process as described above, with exit code 128 + signal.

    Child processes are started with SIGINT blocked, since a terminal's Ctrl+C reaches all of them and each would print
    its own traceback.

    Args:
        name: of the command, at the start of the line: 'train_stage2: stopped; …'.
        advice: at the end of the line.
    """
    watch = _Watch(f"{name}: stopped" + (f"; {advice}" if advice else ""))
    try:
        yield
    finally:
        if watch.code:
            with suppress(Exception):
                sys.stdout.flush()
            atexit._run_exitfuncs()  # removes libraries' temporary files; a regular interpreter exit would block
            watch.end()
        watch.close()


class _Watch:
    """Waits for a signal in a separate thread; `code` is the exit code once one has arrived."""

    def __init__(self, line: str):
        self.line = line
        self.code = 0
        self.unwinding = False
        self.ancestors = _ancestors()  # before any work: the thread may start late, after DVC has died
        self.pipe_out, self.pipe_in = os.pipe()
        os.set_blocking(self.pipe_in, False)
        self.handlers = {number: signal.signal(number, self._unwind) for number in SIGNALS}
        self.wakeup = signal.set_wakeup_fd(self.pipe_in, warn_on_full_buffer=False)
        resource_tracker.ensure_running()  # otherwise the first worker starts it, and SIGINT reaches the others
        # for this thread and everything it starts
        self.mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        threading.Thread(target=self._wait, daemon=True).start()

    def close(self) -> None:
        """Restores signal handling, and ends the thread."""
        signal.set_wakeup_fd(self.wakeup)
        for number, handler in self.handlers.items():
            signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, self.mask)
        os.close(self.pipe_in)

    def end(self) -> None:
        """Ends the process and its children immediately."""
        _kill_children()
        for folder in list(UNFINISHED):
            shutil.rmtree(folder, ignore_errors=True)
        sweep_shared_memory(ended=os.getpid())
        os._exit(self.code)

    def _wait(self) -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        number = self._wait_for_signal()
        if not number:
            return
        if os.environ.get("LOCAL_RANK", "0") == "0":  # only the first of several training processes prints
            os.write(2, f"\n{self.line}\n".encode())
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # hides messages of libraries about the interruption
        self.code = 128 + number
        _kill_children()
        signal.pthread_kill(threading.main_thread().ident, signal.SIGTERM)
        time.sleep(GRACE)
        self.end()

    def _wait_for_signal(self) -> int | None:
        """The signal that ends the process; None when the watch is closed."""
        while True:
            if select.select([self.pipe_out], [], [], POLL)[0]:
                received = os.read(self.pipe_out, 1)
                if not received:
                    os.close(self.pipe_out)
                    return None
                if received[0] in SIGNALS:
                    return received[0]
            elif _ancestors() != self.ancestors:
                return signal.SIGTERM

    def _unwind(self, number: int, frame: FrameType | None) -> None:
        if self.code and not self.unwinding:  # after the line is printed, and only once
            self.unwinding = True
            raise SystemExit(self.code)


def _ancestors() -> tuple[int, ...]:
    """For a stage run by DVC: its parent, and the shell's parent if that is a shell; () for any other process.

    They change when DVC dies, since an orphaned process gets a new parent.
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
