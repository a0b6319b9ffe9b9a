import numpy as np
from matplotlib.text import Text

from btlib.explain.figures import overlay, overlay_figure


def test_every_image_has_a_panel_per_map_and_lesions_are_outlined():
    images = np.zeros((2, 16, 16, 3), dtype=np.uint8)
    maps = {name: np.random.default_rng(0).random((2, 16, 16)) for name in ("net_a", "net_b", "fused")}
    lesions = np.zeros((2, 16, 16), dtype=bool)
    lesions[0, 4:8, 4:8] = True
    figure = overlay_figure("Grad-CAM – phantom data", images, ["✓ glioma 99.0%", "✗ no tumor 51.0%"], maps, lesions)
    assert len(figure.axes) == 8
    assert [len(axes.images) for axes in figure.axes] == [1] * 8
    assert [len(axes.collections) for axes in figure.axes] == [2] * 4 + [0] * 4
    text = [t.get_text() for t in figure.findobj(Text)]
    assert {"Grad-CAM – phantom data", "✗ no tumor 51.0%", "image", "fused"} <= set(text)


def test_cold_pixels_keep_the_image_and_hot_ones_take_the_colour():
    image = np.full((1, 2, 3), 100, dtype=np.uint8)
    blended = overlay(image, np.array([[0.0, 1.0]]))
    assert blended[0, 0].tolist() == [100, 100, 100]
    assert blended[0, 1].tolist() == [118, 35, 35]  # 0.35 · 100 + 0.65 · 255 · (0.5, 0, 0), jet's dark red
