import os
import signal

from btlib.core.runtime.errors import InputError
from btlib.images.data.inspection import inspected


def look(item: int) -> int:
    if item == 1:
        raise InputError("one.mat: not whole")
    if item == 2:
        os.kill(os.getpid(), signal.SIGSEGV)  # like a decoder crashed by a damaged file
    return 10 * item


def test_faults_and_crashes_do_not_affect_other_items():
    found, faults = inspected(look, [0, 1, 2, 3], ["zero.mat", "one.mat", "two.mat", "three.mat"], "look")
    assert found == [0, 30]
    assert faults == [
        "one.mat: not whole",
        "two.mat: crashed the program that decodes it: damaged or malicious",
    ]
