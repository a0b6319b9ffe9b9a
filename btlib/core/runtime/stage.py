"""Runs a stage's main: paths from the command line, plain error messages, record of time and memory."""

import argparse
import inspect
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

from btlib.core.runtime.artifacts import write_json
from btlib.core.runtime.command import command
from btlib.core.runtime.leftovers import sweep
from btlib.core.runtime.memory import keep_freed_memory

TIMINGS = Path(".btlib/timings")


def run(main: Callable[..., None]) -> None:
    """Calls `main` with one `--name PATH` option per parameter; InputError becomes one message and exit code 1.

    Removes leftovers of killed stages first. Writes the stage's wall time and peak memory to
    `.btlib/timings/<stage>.json`.
    """
    name = os.environ.get("DVC_STAGE", Path(sys.argv[0]).stem)  # DVC's name, since stages may share a script
    parser = argparse.ArgumentParser(prog=name, description=inspect.getdoc(inspect.getmodule(main)))
    for option in inspect.signature(main).parameters:
        parser.add_argument(f"--{option.replace('_', '-')}", type=Path, required=True)
    keep_freed_memory()
    with command(name, "run the same command again to continue"):
        started = time.perf_counter()
        sweep()
        main(**vars(parser.parse_args()))
        _record(name, time.perf_counter() - started)


def _record(name: str, seconds: float) -> None:
    # The largest worker is added once, since the number of concurrent workers is unknown.
    peak = sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1024**2
    write_json(TIMINGS / f"{name}.json", {"seconds": round(seconds, 2), "peak_gib": round(peak, 2)})
    print(f"{name}: {seconds:.1f} s, peak memory {peak:.2f} GiB")
