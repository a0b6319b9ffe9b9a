"""The stage on a small network, with the committed params.yaml."""

import importlib.util
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from btlib.core.metrics.predictions import predictions_table
from btlib.core.metrics.score_table import read_scores
from btlib.core.runtime.artifacts import read_csv, read_json, write_csv
from btlib.images.data.classes import CLASSES
from btlib.images.data.masks import write_masks
from tests.images.data.samples import save_array
from tests.images.explain.two_streams import SeesBright, TwoStreams, make_two_streams

STAGE = Path(__file__).parents[2] / "stages/gradcam.py"


@pytest.fixture
def stage(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("gradcam_stage", STAGE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.chdir(STAGE.parents[1])
    rng = np.random.default_rng(0)
    ids, labels = [f"i{n}" for n in range(10)], [CLASSES[n % 4] for n in range(10)]
    images = rng.integers(0, 100, (10, 32, 32, 3), dtype=np.uint8)
    images[4, 8:24, 8:24] = 255  # the lesion of mask.png
    images[8, 8:24, 16:28] = 255  # half of it, and as much beside it
    images[6, :8, :8] = 255  # of class no_tumor
    save_array(tmp_path / "processed/images.npy", images)
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

    def run(masked, kind=TwoStreams):
        monkeypatch.setattr(module, "load_classifier", lambda folder: make_two_streams(kind))
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
    assert list(table) == ["image_id", "label", "map", "pointing_hit", "heat_share", "lesion_share"]
    assert "lesion_outline" not in metrics
    assert figures == {f"{name}.png": "phantom data" for name in CLASSES}


def test_without_masks_shares_are_null_and_figures_still_come(stage):
    metrics, table, figures = stage(masked=[])
    assert metrics["n_with_mask"] == 0 and metrics["maps"]["fused"]["all"]["heat_share"] is None
    assert table.empty and len(figures) == 4


def test_the_lesion_map_is_one_more_map_and_its_outlines_are_scored(stage, tmp_path):
    """The network finds i4's lesion but its corners, half of i8's and nothing in i5, and something in i6 of two."""
    metrics, table, figures = stage(masked=["i4", "i5", "i8"], kind=SeesBright)
    assert list(metrics["maps"]) == ["net_a", "net_b", "fused", "lesion_map"]
    dice = {"i4": 2 * 252 / (252 + 256), "i5": 0, "i8": 2 * 126 / (188 + 256)}
    outlines = metrics["lesion_outline"]
    assert outlines["all"]["n"] == 3 and outlines["all"]["dice"] == pytest.approx(sum(dice.values()) / 3)
    assert outlines["all"]["dice_median"] == pytest.approx(dice["i8"])
    assert outlines["glioma"]["dice"] == pytest.approx((dice["i4"] + dice["i8"]) / 2)
    assert outlines["meningioma"]["dice"] == 0 and set(outlines) == {"all", "glioma", "meningioma"}
    assert outlines["all"]["n_without"] == 2 and outlines["all"]["false_outlines"] == 0.5

    rows = table[table["map"] == "lesion_outline"].set_index("image_id")
    assert rows["dice"].dropna().to_dict() == pytest.approx(dice)
    assert rows["false_outline"].dropna().to_dict() == {"i2": 0, "i6": 1}
    assert rows["heat_share"].isna().all()
    heat = table[table["map"] == "lesion_map"].set_index("image_id")
    assert heat["pointing_hit"]["i4"] == 1 and heat["dice"].isna().all()
    assert heat["heat_share"]["i4"] == pytest.approx((15 / 16) ** 2, abs=1e-4)  # bilinear: 1 of 16 spills over

    headlines = read_json(tmp_path / "metrics")
    assert set(headlines["maps"]["lesion_map"]) == set(headlines["lesion_outline"]) == {"all"}
    assert headlines["lesion_outline"]["all"] == outlines["all"]
    assert len(figures) == 4


def test_grad_cam_is_scored_alike_with_and_without_a_lesion_head(stage):
    without, _, _ = stage(masked=["i4", "i5", "i8"])
    beside, _, _ = stage(masked=["i4", "i5", "i8"], kind=SeesBright)
    assert {name: beside["maps"][name] for name in without["maps"]} == without["maps"]


def test_false_outlines_need_no_masks(stage):
    metrics, table, _ = stage(masked=[], kind=SeesBright)
    assert metrics["maps"]["lesion_map"]["all"]["n"] == 0
    outlines = metrics["lesion_outline"]
    assert set(outlines) == {"all"} and outlines["all"]["dice"] is None and outlines["all"]["false_outlines"] == 0.5
    assert table["image_id"].tolist() == ["i2", "i6"]
