import numpy as np
import pytest

from tests.images.explain.two_streams import make_two_streams


@pytest.fixture
def make_net():
    return make_two_streams


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (5, 32, 48, 3), dtype=np.uint8)
