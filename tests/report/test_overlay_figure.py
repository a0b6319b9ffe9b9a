import numpy as np
from matplotlib.colors import same_color
from matplotlib.text import Text

from btlib.report.figures.overlays import mosaic, overlay, overlay_figure
from btlib.report.figures.style import LESION, YELLOW


def test_every_image_has_a_panel_per_map_and_lesions_are_outlined():
    images = np.full((2, 16, 24, 3), 50, dtype=np.uint8)
    maps = {name: np.zeros((2, 16, 24)) for name in ("net_a", "net_b", "fused")}
    maps["fused"][1] = 1
    lesions = np.zeros((2, 16, 24), dtype=bool)
    lesions[0, 4:8, 4:8] = True
    figure = overlay_figure("Grad-CAM", images, ["✓ glioma 99.0%", "✗ no tumor 51.0%"], maps, lesions)
    (axes,) = figure.axes
    picture = axes.images[0].get_array()
    assert picture.shape == (2 * 17, 4 * 25, 3)
    assert (picture[:16, 75:99] == 50).all() and (picture[17:33, 75:99] != 50).all()  # fused: cold, hot
    outline = axes.collections[0].get_paths()[0]
    assert len(outline.to_polygons()) == 4  # the one lesion, once in each column
    text = [t.get_text() for t in figure.findobj(Text)]
    assert {"Grad-CAM", "✗ no tumor 51.0%", "image", "fused"} <= set(text)


def test_without_a_lesion_nothing_is_outlined():
    maps = {"fused": np.zeros((1, 8, 8))}
    figure = overlay_figure("", np.zeros((1, 8, 8, 3), np.uint8), [""], maps, np.zeros((1, 8, 8), dtype=bool))
    assert not figure.axes[0].collections


def with_lesion_map(lesions, found):
    images, maps = np.zeros((*lesions.shape, 3), np.uint8), {"fused": np.zeros(lesions.shape)}
    return overlay_figure("Grad-CAM", images, [""] * len(images), maps, lesions, found)


def test_a_lesion_map_is_one_more_column_with_its_own_outline():
    lesions = np.zeros((2, 16, 24), dtype=bool)
    lesions[0, 4:8, 4:8] = True
    found = np.full((2, 16, 24), 0.1)
    found[0, 8:12, 4:8], found[0, 2, 2] = 0.5, 0.49
    figure = with_lesion_map(lesions, found)
    (axes,) = figure.axes
    assert axes.images[0].get_array().shape == (2 * 17, 3 * 25, 3)
    assert "lesion map" in [text.get_text() for text in axes.texts]
    *_, true, _, dashed = axes.collections  # each on its rim
    assert len(true.get_paths()[0].to_polygons()) == 3
    (outline,) = dashed.get_paths()[0].to_polygons()
    assert outline.min(axis=0).tolist() == [53.5, 7.5] and outline.max(axis=0).tolist() == [57.5, 11.5]
    assert same_color(true.get_edgecolor()[0], LESION) and same_color(dashed.get_edgecolor()[0], YELLOW)
    assert true.get_linestyle()[0][1] is None and dashed.get_linestyle()[0][1]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.texts] == [
        "true outline of the lesion",
        "outlined by the lesion map (probability ≥ 0.5)",
    ]


def test_the_legend_keeps_to_lines_that_can_occur():
    figure = with_lesion_map(np.zeros((1, 8, 8), dtype=bool), np.full((1, 8, 8), 0.1))
    assert not figure.axes[0].collections
    assert len(figure.legends[0].texts) == 1
    without = with_lesion_map(np.ones((1, 8, 8), dtype=bool), None)
    assert not without.legends and "lesion map" not in [text.get_text() for text in without.axes[0].texts]


def test_panels_stand_in_reading_order():
    panels = np.arange(6, dtype=np.uint8).reshape(2, 3, 1, 1, 1)
    assert mosaic(panels, fill=9)[..., 0].tolist() == [
        [0, 9, 1, 9, 2, 9],
        [9] * 6,
        [3, 9, 4, 9, 5, 9],
        [9] * 6,
    ]


def test_cold_pixels_keep_the_image_and_hot_ones_take_the_color():
    image = np.full((1, 2, 3), 100, dtype=np.uint8)
    blended = overlay(image, np.array([[0.0, 1.0]]))
    assert blended[0, 0].tolist() == [100, 100, 100]
    assert blended[0, 1].tolist() == [118, 35, 35]  # 0.35 · 100 + 0.65 · 255 · (0.5, 0, 0), jet's dark red
