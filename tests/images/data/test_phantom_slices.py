import numpy as np
import pandas as pd
import pytest

from btlib.images.data.lesion_maps import FULL, lesion_map
from btlib.images.data.phantom_slices import phantom_slices, write_slices
from btlib.images.data.preprocessing import NO_BACKGROUND, Clahe, GrayLevels, load_lesions, load_processed, preprocess
from btlib.phantom.atlas import load_atlas
from btlib.phantom.training_slices import training_slices

LEVELS = GrayLevels(None, Clahe(True, 2.0, 8))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("phantoms") / "slices"
    write_slices(place, phantom_slices(2, 0, 48, LEVELS, load_atlas()), 48)
    return place


def test_slices_are_preprocessed_like_images_and_have_their_maps(folder):
    images, index = load_processed(folder)
    lesions = load_lesions(folder, images)
    slices = [one for number in range(2) for one in training_slices(number, 0, 48, load_atlas())]
    assert images.shape == (len(slices), 48, 48) and index["image_id"].is_unique
    assert index["label"].tolist() == [one.label for one in slices]
    assert index["modality"].tolist() == [one.modality for one in slices]
    assert (index["background"] == NO_BACKGROUND).all()
    gray = preprocess(np.repeat(slices[5].image[..., None], 3, axis=2), 48, LEVELS)
    assert np.array_equal(images[5], gray[..., 0]) and np.array_equal(gray[..., 0], gray[..., 2])
    assert np.array_equal(lesions[5], lesion_map(slices[5].lesion, 48))
    assert (lesions.max(axis=(1, 2)) <= FULL).all()  # every lesion is known


def test_more_subjects_leave_the_first_ones_as_they_were(folder, tmp_path):
    write_slices(tmp_path / "one", phantom_slices(1, 0, 48, LEVELS, load_atlas()), 48)
    more, fewer = (load_processed(place) for place in (folder, tmp_path / "one"))
    n = len(fewer[0])
    assert np.array_equal(more[0][:n], fewer[0])
    pd.testing.assert_frame_equal(more[1][:n], fewer[1])


def test_none_asked_for(tmp_path):
    write_slices(tmp_path / "none", phantom_slices(0, 0, 48, LEVELS, load_atlas()), 48)
    images, index = load_processed(tmp_path / "none")
    assert images.shape == (0, 48, 48) and index.empty
    assert load_lesions(tmp_path / "none", images).shape == (0, 12, 12)
