"""A Dask cluster of processes on loopback, for tests; none of them outlives the test."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from btlib.core.runtime.artifacts import read_json
from btlib.core.runtime.isolation import DEATH_OF_PARENT

ROOT = Path(__file__).parents[3]
LOOPBACK = ("--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0")
SECONDS = 120


class Hub:
    """The processes of a cluster: `scheduler`, and one per worker, whose nanny it is."""

    def __init__(self, folder: Path):
        self.file = folder / "scheduler.json"
        self.log = (folder / "log.txt").open("wb")
        self.workers: list[subprocess.Popen] = []
        self.scheduler = self._start("scheduler", "--port", "0", "--scheduler-file", str(self.file))
        wait_for(self.file.exists)
        self.address = read_json(self.file)["address"]

    def add(self, *options: str, code: Path = ROOT) -> None:
        """Starts a worker that imports btlib from `code`."""
        words = ("--nthreads", "1", *options, "--death-timeout", "60")
        self.workers.append(self._start("worker", self.address, *words, code=code))

    def processes(self) -> list[psutil.Process]:
        """The processes in which the workers compute, without nannies."""
        children = (psutil.Process(nanny.pid).children(recursive=True) for nanny in self.workers)
        return [one for each in children for one in each if "spawn_main" in " ".join(one.cmdline())]

    def stop(self) -> None:
        for process in (*self.workers, self.scheduler):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self.log.close()

    def _start(self, kind: str, *options: str, code: Path = ROOT) -> subprocess.Popen:
        own = {"PYTHONPATH": str(code), "CUDA_VISIBLE_DEVICES": ""}
        return subprocess.Popen(
            [sys.executable, "-m", "dask", kind, *LOOPBACK, *options],
            cwd=self.file.parent,
            env={key: value for key, value in os.environ.items() if key != "DASK_SCHEDULER_ADDRESS"} | own,
            stdout=self.log,
            stderr=self.log,
            start_new_session=True,
            preexec_fn=_end_with_parent,
        )


def _end_with_parent() -> None:
    """However the test ends; workers end with their nanny."""
    ctypes.CDLL(None).prctl(DEATH_OF_PARENT, signal.SIGKILL)


@contextmanager
def hub(folder: Path, workers: int = 0):
    """A scheduler with workers that are like this process."""
    found = Hub(folder)
    try:
        for _ in range(workers):
            found.add()
        yield found
    finally:
        found.stop()


def wait_for(condition) -> None:
    """Waits until it is true."""
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
