"""Functions that workers of a cluster import, for tests."""

import os
import signal
from pathlib import Path

import torch

from btlib.core.runtime.errors import InputError
from tests.core.runtime.hub import wait_for


def resolved(path):
    print(f"seen {path}")
    return path.resolve(), os.getpid()


def threads_of(number):
    return number, torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()


def refusing(number):
    if number == 5:
        raise InputError("case 5: damaged")
    return number


def wait_in_vain(number, folder):
    """Ends at the second attempt only; the first one is killed."""
    mark = folder / str(number)
    if not mark.exists():
        mark.write_text(str(os.getpid()))
        wait_for(lambda: False)
    return number


def rude(number):
    if number == 3:
        os.kill(os.getpid(), signal.SIGSEGV)
    return number


def opened(number):
    with Path("opened").open("a") as file:
        file.write(f"{os.getpid()}\n")
    return [number] * 3


def from_shared(number, shared):
    return shared.value[0] + number
