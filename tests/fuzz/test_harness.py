"""Readers with planted faults: each must be found, and named for what it is."""

import ctypes
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from btlib.core.runtime.errors import InputError
from tests.fuzz.campaign import trials
from tests.fuzz.trial import ANSWERED, FAULT, LOST, OUTSIDE, PATIENT, REFUSED, Reader


def whole(folder: Path) -> None:
    (folder / "only").mkdir()
    (folder / "only/x.txt").write_text("content")


def answers(folder):
    return ("x.txt: read",)


def refuses(folder):
    raise InputError("x.txt: no such thing")


def raises(folder):
    raise KeyError("x")


def names_no_file(folder):
    raise InputError("something is wrong")


def talks_without_end(folder):
    raise InputError("x.txt " * 2000)


def names_the_patient(folder):
    warnings.warn(f"odd value {PATIENT}", stacklevel=1)
    return ()


def reads_outside(folder):
    (folder.parent / OUTSIDE).read_bytes()
    return ()


def leaves_files(folder):
    (folder.parent / "left").write_text("x")
    return ()


def hides_its_hunger(folder):
    try:
        np.ones(2**40, np.uint8)
    except MemoryError as error:
        raise InputError("x.txt: not whole") from error


def eats(folder):
    np.ones(2**32, np.uint8)
    return ()


def hangs(folder):
    time.sleep(60)
    return ()


def crashes(folder):
    ctypes.string_at(0)
    return ()


PLANTED = {
    answers: (ANSWERED, ""),
    refuses: (REFUSED, "elsewhere"),
    raises: (FAULT, "KeyError___elsewhere"),
    names_no_file: (FAULT, "NamesNoFile___elsewhere"),
    talks_without_end: (FAULT, "LongMessage___elsewhere"),
    names_the_patient: (FAULT, "PatientText___"),
    reads_outside: (FAULT, "ReadOutside___"),
    leaves_files: (FAULT, "LeftFiles___"),
    hides_its_hunger: (FAULT, "MemoryError___elsewhere"),
    eats: (FAULT, "MemoryError___elsewhere"),
    hangs: (FAULT, "Lost___took_more_than_4_s"),
    crashes: (FAULT, "Lost___crashed_the_program_that_decodes_it_damaged_or_malicious"),
}


@pytest.fixture(scope="module")
def outcomes():
    """What the harness says of each planted reader, isolated or not."""
    inputs = [(Reader(read.__name__, whole, read, isolated=safe), 0) for safe in (False, True) for read in PLANTED]
    return dict(
        zip([(reader.read, reader.isolated) for reader, _ in inputs], trials(inputs, seconds=4, gib=2), strict=True)
    )


@pytest.mark.parametrize("read", PLANTED)
def test_planted_faults_are_found(outcomes, read):
    assert outcomes[read, False][:2] == PLANTED[read]


@pytest.mark.parametrize("read", [hangs, crashes])
def test_what_the_program_isolates_is_lost_and_no_fault(outcomes, read):
    assert outcomes[read, True] == (LOST, PLANTED[read][1], outcomes[read, False].message)
