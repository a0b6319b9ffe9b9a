import numpy as np
from PIL import Image

from btlib.images.data.ingest import ingest
from btlib.images.data.preprocessing import Clahe
from btlib.report.figures.preprocessing import write_pictures


def test_pictures_are_drawn_by_the_seed_and_skip_absent_classes(class_folders, tmp_path):
    manifest, _ = ingest("folder", class_folders, allow_unreadable=False)
    some = manifest[manifest.label != "no_tumor"]
    clahe = Clahe(True, 2.0, 8)
    write_pictures(tmp_path / "all", class_folders, manifest, 48, clahe, 0, "phantom data")
    write_pictures(tmp_path / "some", class_folders, some, 48, clahe, 0, "phantom data")
    write_pictures(tmp_path / "same", class_folders, some, 48, clahe, 0, "phantom data")
    write_pictures(tmp_path / "other", class_folders, some, 48, clahe, 1, "phantom data")
    names = ["fig2_preprocessing.png", "fig3_intensities.png", "fig7_samples.png"]
    assert sorted(path.name for path in (tmp_path / "all").iterdir()) == names
    for name in names:
        assert np.asarray(Image.open(tmp_path / "all" / name).convert("L")).std() > 10
        first = (tmp_path / "some" / name).read_bytes()
        assert first == (tmp_path / "same" / name).read_bytes()
        assert first != (tmp_path / "other" / name).read_bytes()
    heights = [Image.open(tmp_path / folder / "fig7_samples.png").height for folder in ("some", "all")]
    assert heights[0] < heights[1]
