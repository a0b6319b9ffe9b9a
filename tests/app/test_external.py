"""Another hospital's set, with and without a lesion head; everything else is tested in tests/stages."""

import numpy as np
import pytest
from PIL import Image

from btlib.app.predict import external
from btlib.app.predict.external import write_external
from btlib.app.predict.slices import SlicePredictor
from btlib.app.predict.worst_errors import worst_figure
from btlib.core.runtime.artifacts import read_csv
from btlib.images.data.sources.entry import Entry
from tests.app.slice_make import packed_classifier, picture, write_picture


@pytest.mark.parametrize("lesion", [False, True])
def test_share_and_predicted_outlines_follow_the_lesion_head(tmp_path, monkeypatch, lesion):
    figures = []
    monkeypatch.setattr(external, "worst_figure", lambda shown: figures.append(worst_figure(shown)) or figures[0])
    mask = np.zeros((40, 48), np.uint8)
    mask[10:20, 10:20] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    entries = []
    for seed in range(4):
        write_picture(tmp_path / f"{seed}.png", seed)
        entries.append(Entry(f"{seed}.png", ("no_tumor", "tumor")[seed % 2], mask_path="mask.png" * (seed % 2)))
    predictor = SlicePredictor(packed_classifier(lesion=lesion))
    write_external(tmp_path / "out", tmp_path, entries, predictor)
    table = read_csv(tmp_path / "out/predictions.csv")
    assert ("lesion_share" in table.columns) == lesion == bool(figures[0].legends)
    if lesion:
        answers = predictor.answer([picture(seed) for seed in range(4)], heat=False)
        assert table["lesion_share"].tolist() == pytest.approx([answer.lesion_share for answer in answers])
