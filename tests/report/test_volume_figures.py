import numpy as np
import pytest
from matplotlib.text import Text

from btlib.report.figures.style import REGION_COLORS
from btlib.report.figures.volume_maps import MARGIN, STRONGEST, explanation_figure
from btlib.volumes.data.conventions import regions_of
from btlib.volumes.data.store import Case
from btlib.volumes.explain.maps import Explanation

SHAPE = (30, 36, 28)
BRAIN = (slice(5, 25), slice(4, 32), slice(3, 25))
LESION = (slice(18, 24), slice(22, 30), slice(10, 16))  # the patient's right, in front; x 18–23, y 22–29, z 10–15
NOTHING = Explanation(None, None, None, None, None)


@pytest.fixture
def case():
    rng = np.random.default_rng(0)
    image, seg = np.zeros((4, *SHAPE), np.float16), np.zeros(SHAPE, np.uint8)
    image[(slice(None), *BRAIN)] = rng.normal(size=(4, 20, 28, 22))
    seg[LESION] = 2
    seg[19:22, 24:28, 12:15] = 3
    seg[20, 25, 13] = 1
    return Case("BraTS20_Training_007", image, seg, np.diag([3.0, 3, 3, 1]), np.eye(4), SHAPE)


@pytest.fixture
def everything(case):
    rng = np.random.default_rng(1)
    maps = rng.random((4, *SHAPE)).astype(np.float32)
    return Explanation(regions_of(case.seg), maps[0], maps[1], 0.69 * maps[2], 0.1 * maps[3])


def panels(figure):
    return {axes.get_title(): axes for axes in figure.axes if axes.get_title()}


def texts(figure):
    return [text.get_text() for text in figure.findobj(Text)]


def colors(axes):
    """Of the contours in a panel, by the name of their region; white is none of them."""
    names = {color.lower(): name for name, color in REGION_COLORS.items()}
    found = [tuple(round(255 * c) for c in lines.get_edgecolor()[0][:3]) for lines in axes.collections]
    return [names.get("#{:02x}{:02x}{:02x}".format(*rgb), "white") for rgb in found]


def test_all_outputs_stand_side_by_side(case, everything):
    figure = explanation_figure("BraTS20_Training_007\nDice: 0.91", case, everything)
    shown = panels(figure)
    assert list(shown)[:4] == ["T1", "T1ce", "T2", "FLAIR"] and len(shown) == 12
    assert colors(shown["truth, on T1ce"]) == colors(shown["prediction, on T1ce"]) == ["wt", "tc", "et"]
    assert colors(shown["coronal, on FLAIR"]) == ["wt", "tc", "et"] * 2  # truth and prediction
    assert colors(shown["Grad-CAM of the grade"]) == ["white"]
    said = texts(figure)
    assert "BraTS20_Training_007\nDice: 0.91" in said
    assert {"whole tumour", "tumour core", "enhancing tumour", "truth"} <= set(said)
    assert "0.69" in said  # the entropy's colours end at log 2


def test_slices_go_through_the_lesion_and_show_the_right_on_the_left(case, everything):
    shown = panels(explanation_figure("", case, everything))
    x0, y0, z0 = (side.start - MARGIN for side in BRAIN)
    width = 20 + 2 * MARGIN
    across, up = shown["truth, on T1ce"].collections[0].get_paths()[0].vertices.T
    # the contour lies half a voxel around the mask: x 18 … 23 seen from the right edge, y 22 … 29 from below
    right = width - 1 - x0
    assert (across.min(), across.max()) == (width - 1 - (23 - x0) - 0.5, width - 1 - (18 - x0) + 0.5)
    assert (up.min(), up.max()) == (22 - y0 - 0.5, 29 - y0 + 0.5) and across.max() < right / 2
    across, up = shown["coronal, on FLAIR"].collections[0].get_paths()[0].vertices.T
    assert (up.min(), up.max()) == (10 - z0 - 0.5, 15 - z0 + 0.5)
    across, up = shown["sagittal, on FLAIR"].collections[0].get_paths()[0].vertices.T
    deep = 28 + 2 * MARGIN
    assert (across.min(), across.max()) == (deep - 1 - (29 - y0) - 0.5, deep - 1 - (22 - y0) + 0.5)  # front left


def test_one_window_for_the_whole_volume_and_black_around_the_brain(case, everything):
    picture = np.asarray(panels(explanation_figure("", case, everything))["T2"].images[0].get_array())
    assert picture.shape == (28 + 2 * MARGIN, 20 + 2 * MARGIN)  # the brain and its margin, rows from front to back
    assert (picture[:MARGIN] == 0).all() and (picture[:, -MARGIN:] == 0).all()
    inside = case.image[2][BRAIN].astype(np.float32)
    low, high = np.percentile(inside, [0.5, 99.5])
    slices = [np.clip((inside[::-1, :, z].T - low) / (high - low), 0, 1) for z in range(22)]
    differences = [np.abs(picture[MARGIN:-MARGIN, MARGIN:-MARGIN] - one).max() for one in slices]
    assert min(differences) < 1e-6 and 10 <= 3 + int(np.argmin(differences)) <= 15


def test_maps_cover_the_anatomy_the_more_the_higher_they_are(case, everything):
    cold = np.zeros(SHAPE, np.float32)
    hot = np.ones(SHAPE, np.float32)
    shown = panels(explanation_figure("", case, everything._replace(gradcam=cold, attention=hot)))
    plain = np.asarray(shown["T1ce"].images[0].get_array())
    under = np.asarray(shown["Grad-CAM of the grade"].images[0].get_array())
    np.testing.assert_allclose(under, np.repeat(plain[..., None], 3, axis=2))
    over = np.asarray(shown["attention gate"].images[0].get_array())
    row, column = 20, 12
    yellow = np.array([0.993248, 0.906157, 0.143936])  # the end of viridis
    np.testing.assert_allclose(over[row, column], (1 - STRONGEST) * plain[row, column] + STRONGEST * yellow, rtol=1e-4)
    assert (over[0] == 0).all()  # nothing outside the brain


def test_what_the_network_lacks_is_said(case):
    figure = explanation_figure("", case, NOTHING)
    said = texts(figure)
    assert {"no grading head", "no attention gates", "no segmentation"} <= set(said)
    assert said.count("no segmentation\nor no dropout") == 1
    assert colors(panels(figure)["truth, on T1ce"]) == ["wt", "tc", "et"]


def test_without_truth_the_slices_go_through_the_prediction(case, everything):
    shown = panels(explanation_figure("", case._replace(seg=None), everything))
    assert shown["prediction, on T1ce"].collections and not shown["Grad-CAM of the grade"].collections
    figure = explanation_figure("", case._replace(seg=None), NOTHING)  # nor a prediction: through the brain
    assert "no segmentation\nwith this case" in texts(figure)


def test_a_map_of_zeros_and_an_absent_region_are_drawn(case, everything):
    seg = np.where(case.seg == 3, 2, case.seg)
    found = everything._replace(mutual_information=np.zeros(SHAPE))
    shown = panels(explanation_figure("", case._replace(seg=seg), found))
    assert colors(shown["truth, on T1ce"]) == ["wt", "tc"]
    picture = np.asarray(shown["mutual information (nats)"].images[0].get_array())
    np.testing.assert_allclose(picture[..., 0], np.asarray(shown["T1ce"].images[0].get_array()))
