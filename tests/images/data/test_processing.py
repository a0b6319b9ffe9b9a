import errno
import io

import numpy as np
import pandas as pd
import pytest

from btlib.core.runtime.errors import InputError
from btlib.images.data import processing
from btlib.images.data.ingest import ingest
from btlib.images.data.lesion_maps import UNKNOWN, lesion_map
from btlib.images.data.masks import LINKED, Masks, write_masks
from btlib.images.data.preprocessing import Clahe, GrayLevels, load_lesions, load_processed, preprocess
from btlib.images.data.processing import write_processed
from tests.images.data.samples import picture

ON = GrayLevels(None, Clahe(True, 2.0, 8))


@pytest.fixture
def no_masks(class_folders, tmp_path):
    write_masks(tmp_path / "masks.npz", {})
    return Masks(class_folders, tmp_path / "masks.npz")


def test_written_array_and_index(class_folders, no_masks, tmp_path):
    manifest, _ = ingest("folder", class_folders, allow_unreadable=False)
    write_processed(tmp_path / "processed", class_folders, no_masks, manifest, 32, ON)
    array, index = load_processed(tmp_path / "processed")
    assert isinstance(array, np.memmap)
    assert (array.shape, array.dtype) == ((12, 32, 32, 3), np.uint8)
    pd.testing.assert_frame_equal(index, manifest[["image_id", "label"]])
    assert np.array_equal(array[4], preprocess(picture(101), 32, ON))
    first = (tmp_path / "processed/images.npy").read_bytes()
    write_processed(tmp_path / "processed", class_folders, no_masks, manifest, 32, ON)
    assert (tmp_path / "processed/images.npy").read_bytes() == first


def test_lesion_maps_of_the_images(class_folders, tmp_path):
    manifest, _ = ingest("folder", class_folders, allow_unreadable=False)
    mask = np.zeros((40, 80), bool)
    mask[:20, 40:] = True
    write_masks(tmp_path / "masks.npz", {"a": mask})
    manifest.loc[3, "mask_path"] = f"{LINKED}a"
    masks = Masks(class_folders, tmp_path / "masks.npz")
    write_processed(tmp_path / "processed", class_folders, masks, manifest, 32, ON)
    images, _ = load_processed(tmp_path / "processed")
    lesions = load_lesions(tmp_path / "processed", images)
    assert np.array_equal(lesions[3], lesion_map(mask, 32))
    others = manifest.index != 3
    healthy = (manifest["label"] == "no_tumor").to_numpy()
    assert (lesions[others & ~healthy] == UNKNOWN).all()
    assert healthy.any() and not lesions[healthy].any()  # without a tumour there is no lesion to outline
    np.save(tmp_path / "processed/lesions.npy", lesions[:-1])
    with pytest.raises(InputError, match=r"lesions\.npy is uint8 \(11, 8, 8\), expected uint8 \(12, 8, 8\)"):
        load_lesions(tmp_path / "processed", images)


class FullDisk(io.BytesIO):
    """A file on a disk with room for 10 kB."""

    def write(self, data):
        if self.tell() + len(data) > 10_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)


def test_full_disk_leaves_nothing_behind(class_folders, no_masks, tmp_path, monkeypatch):
    manifest, _ = ingest("folder", class_folders, allow_unreadable=False)
    real_open = processing.Path.open
    monkeypatch.setattr(
        processing.Path,
        "open",
        lambda self, *mode, **more: FullDisk() if self.suffix == ".npy" else real_open(self, *mode, **more),
    )
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match=r"processed: no space left on the device.*nothing was changed"):
        write_processed(tmp_path / "out/processed", class_folders, no_masks, manifest, 32, ON)
    assert list((tmp_path / "out").iterdir()) == []


def test_image_missing_since_ingest(class_folders, no_masks, tmp_path):
    manifest, _ = ingest("folder", class_folders, allow_unreadable=False)
    (class_folders / "glioma/01.png").unlink()
    with pytest.raises(InputError, match=r"glioma/01\.png: no such file"):
        write_processed(tmp_path / "out/processed", class_folders, no_masks, manifest, 32, ON)
    assert list((tmp_path / "out").iterdir()) == []
