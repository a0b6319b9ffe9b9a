"""For every test, and every process that a test starts: one thread each, since pytest-xdist already fills the cores."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_make_parametrize_id(val, argname):
    """Tests over bytes are named after the argument: a .zip holds the time, and all workers must find one name."""
    return argname if isinstance(val, bytes) else None
