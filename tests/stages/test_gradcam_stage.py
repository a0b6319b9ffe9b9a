"""The stage on a small network, with the committed params.yaml."""

import importlib.util
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from btlib.core.metrics.predictions import predictions_table
from btlib.core.metrics.score_table import read_scores
from btlib.core.runtime.artifacts import read_csv, write_csv
from btlib.images.data.classes import CLASSES
from btlib.images.data.masks import write_masks
from tests.images.data.samples import save_array
from tests.images.explain.two_streams import make_two_streams

STAGE = Path(__file__).parents[2] / "stages/gradcam.py"


@pytest.fixture
def stage(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("gradcam_stage", STAGE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.chdir(STAGE.parents[1])
    monkeypatch.setattr(module, "load_classifier", lambda folder: make_two_streams())
    rng = np.random.default_rng(0)
    ids, labels = [f"i{n}" for n in range(10)], [CLASSES[n % 4] for n in range(10)]
    save_array(tmp_path / "processed/images.npy", rng.integers(0, 256, (10, 32, 32, 3), dtype=np.uint8))
    write_csv(tmp_path / "processed/index.csv", pd.DataFrame({"image_id": ids, "label": labels}))
    table = predictions_table(ids[2:], labels[2:], rng.dirichlet(np.ones(4), size=8), CLASSES)
    write_csv(tmp_path / "test.csv", table)
    mask = np.zeros((64, 64), dtype=np.uint8)
    mask[16:48, 16:48] = 255
    (tmp_path / "raw").mkdir()
    cv2.imwrite(str(tmp_path / "raw/mask.png"), mask)
    figures = {}
    monkeypatch.setattr(module.FigureFolder, "write", lambda folder, name, figure: figures.update({name: folder.note}))
    files = {name: tmp_path / name for name in ("model", "processed", "metrics", "scores_out", "table", "figures")}

    def run(masked):
        paths = ["mask.png" if i in masked else "" for i in ids]
        manifest = pd.DataFrame({"image_id": ids, "group": range(len(ids)), "mask_path": paths})
        write_masks(tmp_path / "linked.npz", {})
        write_csv(tmp_path / "manifest.csv", manifest)
        module.main(
            root=tmp_path / "raw",
            masks=tmp_path / "linked.npz",
            manifest=tmp_path / "manifest.csv",
            predictions=tmp_path / "test.csv",
            **files,
        )
        return read_scores(tmp_path / "scores_out"), read_csv(tmp_path / "table"), figures

    return run


def test_heat_is_scored_over_all_test_images_with_a_mask(stage):
    metrics, table, figures = stage(masked=["i0", "i4", "i5", "i8"])
    assert metrics["n_test"] == 8 and metrics["n_with_mask"] == 3  # i0 is not a test image
    assert set(metrics["maps"]) == {"net_a", "net_b", "fused"}
    assert metrics["maps"]["fused"]["glioma"]["n"] == 2 and metrics["maps"]["fused"]["meningioma"]["n"] == 1
    assert metrics["maps"]["fused"]["all"]["lesion_share"] == 0.25
    assert table["image_id"].tolist() == ["i4", "i5", "i8"] * 3
    assert figures == {f"{name}.png": "phantom data" for name in CLASSES}


def test_without_masks_shares_are_null_and_figures_still_come(stage):
    metrics, table, figures = stage(masked=[])
    assert metrics["n_with_mask"] == 0 and metrics["maps"]["fused"]["all"]["heat_share"] is None
    assert table.empty and len(figures) == 4
