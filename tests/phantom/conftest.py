import pytest

from btlib.phantom.atlas import load_atlas


@pytest.fixture(scope="session")
def atlas():
    return load_atlas(4)
