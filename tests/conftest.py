"""For every test, and every process that a test starts: one thread each, since pytest-xdist already fills the cores."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
