import pytest

from tests.images.data.samples import make_class_folders


@pytest.fixture
def class_folders(tmp_path):
    """Three small images in each of the four class folders."""
    return make_class_folders(tmp_path / "images")
