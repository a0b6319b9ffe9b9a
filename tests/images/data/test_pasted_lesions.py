import numpy as np
import pandas as pd
import pytest

from btlib.core.runtime.artifacts import write_csv
from btlib.images.data.lesion_maps import FULL, UNKNOWN
from btlib.images.data.pasted_lesions import pasted_lesions
from btlib.phantom.atlas import load_atlas
from tests.images.data.samples import save_array

SIDE, HEALTHY, OUTLINED = 64, 24, 12
PER_IMAGE = 2


def save_processed(folder):
    """Gray heads: without a tumour, outlined ones with a bright corner of the brain, and one of each that is unlike."""
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    noise = np.random.default_rng(0).normal(0, 2, (HEALTHY + OUTLINED + 2, SIDE, SIDE))
    images = np.where(np.hypot(x, y) < 26, 110 + noise, 0).clip(0, 255).astype(np.uint8)
    lesions = np.zeros((len(images), SIDE // 4, SIDE // 4), np.uint8)
    lesions[HEALTHY:-2, 5:7, 5:7] = FULL
    images[HEALTHY:-2, 20:28, 20:28] = 220
    lesions[-2] = UNKNOWN
    images[-1] = 0  # no head, no tumour
    labels = ["no_tumor"] * HEALTHY + ["meningioma"] * (OUTLINED + 1) + ["no_tumor"]
    save_array(folder / "images.npy", np.repeat(images[..., None], 3, axis=3))
    save_array(folder / "lesions.npy", lesions)
    write_csv(folder / "index.csv", pd.DataFrame({"image_id": [f"i{n}" for n in range(len(images))], "label": labels}))
    return images, lesions


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("processed")
    images, lesions = save_processed(folder)
    return images, lesions, list(pasted_lesions(folder, PER_IMAGE, 0, load_atlas())), folder


def row(one):
    return int(one.background[1:])


def test_images_without_a_tumor_get_lesions_where_the_map_says(made):
    images, _, slices, _ = made
    healthy = [one for one in slices if row(one) < HEALTHY]
    tumors = [one for one in healthy if one.label != "no_tumor"]
    assert len(tumors) > 0.5 * PER_IMAGE * HEALTHY
    assert {one.label for one in tumors} == {"glioma", "meningioma", "pituitary"}
    assert len({one.subject for one in tumors}) > 0.8 * len(tumors)  # varied
    changes = []
    for one in tumors:
        changed = np.abs(one.image.astype(int) - images[row(one)])
        shares = one.lesion.repeat(4, axis=0).repeat(4, axis=1) / FULL
        assert shares.max() > 0.2
        changes.append((np.average(changed, weights=shares), changed[shares == 0].mean()))
    inside, outside = np.mean(changes, axis=0)
    assert inside > 5 * outside


def test_controls_are_no_lesion(made):
    images, _, slices, _ = made
    controls = [one for one in slices if one.label == "no_tumor"]
    assert 0 < len(controls) < 0.4 * PER_IMAGE * HEALTHY
    for one in controls:
        assert not one.lesion.any()
        assert (one.image != images[row(one)]).any()
        assert np.abs(one.image.astype(int) - images[row(one)]).mean() < 5


def test_outlined_tumors_get_a_second_lesion_and_keep_their_class(made):
    _, lesions, slices, _ = made
    second = [one for one in slices if row(one) >= HEALTHY]
    assert 0 < len(second) < OUTLINED
    for one in second:
        assert one.label == "meningioma"
        assert (one.lesion >= lesions[row(one)]).all() and one.lesion.sum() > lesions[row(one)].sum()


def test_unknown_outlines_and_images_without_a_head_are_left_out(made):
    _, _, slices, _ = made
    assert max(map(row, slices)) < HEALTHY + OUTLINED


def test_an_image_gets_the_same_lesions_whatever_else_is_in_the_set(made, tmp_path):
    _, _, slices, folder = made
    index = pd.read_csv(folder / "index.csv")
    kept = [5, 11]
    for name in ("images", "lesions"):
        save_array(tmp_path / f"{name}.npy", np.load(folder / f"{name}.npy")[kept])
    write_csv(tmp_path / "index.csv", index.iloc[kept])
    alone = {(one.background, one.subject): one for one in pasted_lesions(tmp_path, PER_IMAGE, 0, load_atlas())}
    among = {(one.background, one.subject): one for one in slices if row(one) in kept}
    assert alone.keys() == among.keys() and len(alone) > 1
    assert all(np.array_equal(alone[key].image, among[key].image) for key in alone)


def test_none_asked_for(made):
    assert list(pasted_lesions(made[3], 0, 0, load_atlas())) == []
