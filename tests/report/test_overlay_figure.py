import numpy as np
from matplotlib.text import Text

from btlib.report.figures.overlays import mosaic, overlay, overlay_figure


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
