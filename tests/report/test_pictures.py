import numpy as np
from PIL import Image

from btlib.images.data.ingest import ingest
from btlib.images.data.preprocessing import Clahe, GrayLevels
from btlib.report.figures.files import FigureFolder
from btlib.report.figures.preprocessing import data_figures


def test_pictures_are_drawn_by_the_seed_and_skip_absent_classes(class_folders, tmp_path):
    manifest, _ = ingest("folder", class_folders, allow_unreadable=False)
    some = manifest[manifest.label != "no_tumor"]
    levels = GrayLevels(None, Clahe(True, 2.0, 8))
    for folder, images, seed in (("all", manifest, 0), ("some", some, 0), ("same", some, 0), ("other", some, 1)):
        for name, figure in data_figures(class_folders, images, 48, levels, seed).items():
            FigureFolder(tmp_path / folder, "phantom data").write(f"{name}.png", figure)
    names = ["fig2_preprocessing.png", "fig3_intensities.png", "fig7_samples.png"]
    assert sorted(path.name for path in (tmp_path / "all").iterdir()) == names
    for name in names:
        assert np.asarray(Image.open(tmp_path / "all" / name).convert("L")).std() > 10
        first = (tmp_path / "some" / name).read_bytes()
        assert first == (tmp_path / "same" / name).read_bytes()
        assert first != (tmp_path / "other" / name).read_bytes()
    heights = [Image.open(tmp_path / folder / "fig7_samples.png").height for folder in ("some", "all")]
    assert heights[0] < heights[1]
