"""For every test, and every process that a test starts: one thread each, since pytest-xdist already fills the cores."""

import os

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_make_parametrize_id(val, argname):
    """Tests over bytes are named after the argument: a .zip holds the time, and all workers must find one name."""
    return argname if isinstance(val, bytes) else None


@pytest.fixture
def predictions():
    """157 images of four classes of unequal size, 25 or so wrong, and many ties, since probabilities have 2 digits."""
    import numpy as np

    from btlib.core.metrics.predictions import Predictions

    rng = np.random.default_rng(3)
    labels = rng.permutation(np.repeat(np.arange(4), (60, 40, 35, 22)))
    raw = rng.dirichlet(np.ones(4), size=len(labels)) + 0.8 * np.eye(4)[labels] * rng.random((len(labels), 1))
    percent = np.floor(100 * raw / raw.sum(axis=1, keepdims=True))
    percent[:, 0] += 100 - percent.sum(axis=1)
    ids = np.array([f"i{n}" for n in range(len(labels))], dtype=object)
    return Predictions(ids, labels, percent / 100, ("glioma", "meningioma", "no_tumor", "pituitary"))


@pytest.fixture
def class_folders(tmp_path):
    """Three small images in each of the four class folders."""
    from tests.images.data.samples import make_class_folders

    return make_class_folders(tmp_path / "images")


@pytest.fixture(scope="session")
def atlas():
    from btlib.phantom.atlas import load_atlas

    return load_atlas(4)


@pytest.fixture(scope="session")
def two_workers(tmp_path_factory):
    """A Dask cluster of two workers on loopback, in tests of the xdist group `cluster`."""
    from distributed import Client

    from tests.core.runtime.hub import hub

    with hub(tmp_path_factory.mktemp("cluster"), workers=2) as found:
        with Client(found.address, set_as_default=False) as client:
            client.wait_for_workers(2)
        yield found


@pytest.fixture
def on_cluster(two_workers, tmp_path, monkeypatch):
    """All that can runs on these workers, for a test in a folder of its own."""
    from btlib.core.runtime import cluster
    from btlib.core.runtime.workers import SCHEDULER

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(SCHEDULER, two_workers.address)
    yield two_workers
    cluster.leave(two_workers.address)
