import errno
import io

import numpy as np
import pandas as pd
import pytest

from btlib.core.runtime.errors import InputError
from btlib.images.data import processing
from btlib.images.data.ingest import ingest
from btlib.images.data.preprocessing import Clahe, load_processed, preprocess
from btlib.images.data.processing import write_processed
from tests.images.data.samples import picture

ON = Clahe(True, 2.0, 8)


def test_written_array_and_index(class_folders, tmp_path):
    manifest, _ = ingest("folder", class_folders, allow_unreadable=False)
    write_processed(tmp_path / "processed", class_folders, manifest, 32, ON)
    array, index = load_processed(tmp_path / "processed")
    assert isinstance(array, np.memmap)
    assert (array.shape, array.dtype) == ((12, 32, 32, 3), np.uint8)
    pd.testing.assert_frame_equal(index, manifest[["image_id", "label"]])
    assert np.array_equal(array[4], preprocess(picture(101), 32, ON))
    first = (tmp_path / "processed/images.npy").read_bytes()
    write_processed(tmp_path / "processed", class_folders, manifest, 32, ON)
    assert (tmp_path / "processed/images.npy").read_bytes() == first


class FullDisk(io.BytesIO):
    """A file on a disk with room for 10 kB."""

    def write(self, data):
        if self.tell() + len(data) > 10_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)


def test_full_disk_leaves_nothing_behind(class_folders, tmp_path, monkeypatch):
    manifest, _ = ingest("folder", class_folders, allow_unreadable=False)
    real_open = processing.Path.open
    monkeypatch.setattr(
        processing.Path,
        "open",
        lambda self, *mode, **more: FullDisk() if self.suffix == ".npy" else real_open(self, *mode, **more),
    )
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match=r"processed: no space left on the device.*nothing was changed"):
        write_processed(tmp_path / "out/processed", class_folders, manifest, 32, ON)
    assert list((tmp_path / "out").iterdir()) == []


def test_image_missing_since_ingest(class_folders, tmp_path):
    manifest, _ = ingest("folder", class_folders, allow_unreadable=False)
    (class_folders / "glioma/01.png").unlink()
    with pytest.raises(InputError, match=r"glioma/01\.png: no such file"):
        write_processed(tmp_path / "out/processed", class_folders, manifest, 32, ON)
    assert list((tmp_path / "out").iterdir()) == []
