"""Images of the 2D study at the sizes of the arms."""

import numpy as np
import pandas as pd
import pytest

from btlib.core.runtime.artifacts import write_csv
from btlib.core.runtime.workers import make_fabric
from btlib.images.data.preprocessing import shrink
from btlib.images.training import main as main_model
from btlib.images.training.main import TrainingData
from tests.images.data.samples import save_array, save_phantom_slices


@pytest.fixture
def data(tmp_path):
    names = [f"i{number}" for number in range(6)]
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
    np.save(tmp_path / "images.npy", pixels)
    np.save(tmp_path / "lesions.npy", np.zeros((6, 2, 2), np.uint8))
    labels, backgrounds = ["glioma", "no_tumor", "pituitary", "glioma", "glioma"], ["", "", "", "i1", "i2"]
    save_phantom_slices(tmp_path / "phantoms", 8, labels, backgrounds)
    save_array(tmp_path / "phantoms/images.npy", np.repeat([7, 7, 7, 8, 9], 64).reshape(5, 8, 8).astype(np.uint8))
    write_csv(tmp_path / "index.csv", pd.DataFrame({"image_id": names, "label": ["glioma", "pituitary"] * 3}))
    splits = ["train"] * 2 + ["val"] * 2 + ["test"] * 2
    write_csv(tmp_path / "splits.csv", pd.DataFrame({"image_id": names, "split": splits}))
    return TrainingData(tmp_path, tmp_path / "splits.csv", tmp_path / "phantoms", make_fabric(1, "fp32"))


def test_phantoms_of_classes_that_the_study_lacks_are_left_out(data):
    resident = data.resident_at(4)
    assert resident.phantom_rows.tolist() == [6, 7, 8]
    assert resident.labels[resident.phantom_rows].tolist() == [0, 1, 0]
    batch = resident.batch(np.array([7, 0]))
    assert batch.shape == (2, 3, 4, 4) and (batch[0] == 7 / 255).all()


def test_lesions_are_trained_on_only_in_training_images(data):
    """Pasted into a validation or test image, they would show the network that image."""
    assert sorted(set(data.phantoms.images[:, 0, 0])) == [7, 8]  # not 9, which was pasted into a validation image
    assert data.phantoms.labels.tolist() == [0, 1, 0] and len(data.phantoms.lesions) == 3


def test_each_size_is_computed_once(data, monkeypatch):
    calls = []
    monkeypatch.setattr(main_model, "shrink", lambda images, size: calls.append(size) or shrink(images, size))
    trained = data.resident_at(4).batch(data.test)
    for _ in range(2):
        asked = data.pixels_at(4, data.test)
        np.testing.assert_array_equal(asked, shrink(data.pixels[data.test], 4))
        np.testing.assert_allclose(trained.permute(0, 2, 3, 1), asked / np.float32(255), rtol=1e-6)
    assert calls == [4, 4]  # the images and the phantoms
    np.testing.assert_array_equal(data.pixels_at(8, data.val), data.pixels[data.val])
