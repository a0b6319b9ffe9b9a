import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, recall_score

from btlib.core.metrics.predictions import Predictions
from btlib.images.evaluation.shortcuts import contrast_scores, matched_scores, pasted_scores, view_scores
from btlib.report.figures.shortcuts import examples_figure, shortcut_figure

CLASSES = ("glioma", "meningioma", "no_tumor", "pituitary")


def rng():
    return np.random.default_rng(0)


def sure(said):
    """The p_ columns of a table for a list of predicted classes."""
    return pd.DataFrame({f"p_{name}": [0.7 if s == name else 0.1 for s in said] for name in CLASSES})


def test_views_match_scikit_learn(predictions):
    blind = Predictions(
        predictions.image_ids, predictions.labels, np.tile([0.4, 0.3, 0.2, 0.1], (157, 1)), predictions.classes
    )
    scores = view_scores({"main": {"whole": predictions, "border_only": blind}}, 200, rng())["main"]
    recalls = recall_score(predictions.labels, predictions.predicted, average=None)
    assert scores["whole"]["accuracy"] == pytest.approx(accuracy_score(predictions.labels, predictions.predicted))
    assert list(scores["whole"]["sensitivity"].values()) == pytest.approx(recalls)
    low, high = scores["whole"]["ci95"]["accuracy"]
    assert low < scores["whole"]["accuracy"] < high
    always = scores["border_only"]
    assert list(always["predicted_share"].values()) == [1, 0, 0, 0]
    assert list(always["sensitivity"].values()) == [1, 0, 0, 0]
    shares = np.bincount(predictions.labels) / 157
    assert always["chance"] == pytest.approx(shares.max()) and always["accuracy"] == pytest.approx(shares[0])
    assert always["ci95"]["accuracy"] == pytest.approx([shares[0]] * 2)  # classes keep their sizes


def test_pasted_lesions_by_hand():
    said = ["no_tumor"] * 9 + ["glioma"] + ["glioma"] * 6 + ["pituitary"] * 2 + ["no_tumor"] * 2
    table = sure(said).assign(pasted=[""] * 10 + ["glioma"] * 10)
    scores = pasted_scores(table, np.array([*range(10), *np.repeat(range(5), 2)]))
    assert scores["none"]["n"] == scores["none"]["groups"] == scores["glioma"]["n"] == 10
    assert scores["glioma"]["groups"] == 5
    assert scores["none"]["called_tumor"] == 0.1 and "called_so" not in scores["none"]
    assert scores["glioma"]["called_tumor"] == 0.8 and scores["glioma"]["called_so"] == 0.6
    exact = binomtest(8, 10).proportion_ci(method="exact")
    assert scores["glioma"]["ci95"]["called_tumor"] == pytest.approx([exact.low, exact.high])
    assert pasted_scores(table[:0], np.arange(0)) == {}
    control = pasted_scores(sure(["no_tumor", "glioma"]).assign(pasted="control"), np.arange(2))["control"]
    assert control["called_tumor"] == 0.5 and "called_so" not in control


def test_contrasts_by_hand():
    said = ["no_tumor", "glioma", "no_tumor", "no_tumor", "glioma", "no_tumor"]
    table = sure(said).assign(label=["no_tumor"] * 4 + ["glioma"] * 2, contrast=["t1", "t1ce"] * 3)
    scores = contrast_scores(table)
    assert scores["healthy"]["t1"]["called_tumor"] == 0 and scores["healthy"]["t1ce"]["called_tumor"] == 0.5
    assert scores["healthy"]["t1ce"]["p_no_tumor"] == pytest.approx(0.4)
    assert scores["with_tumor"]["t1"]["called_tumor"] == 1 and scores["with_tumor"]["t1ce"]["n"] == 1
    assert contrast_scores(table.drop(columns="p_no_tumor")) == {}


def test_matched_images_by_hand():
    said = np.array([[0.7, 0.1, 0.1, 0.1], [0.1, 0.1, 0.7, 0.1], [0.1, 0.7, 0.1, 0.1], [0.1, 0.1, 0.7, 0.1]])
    whole = Predictions(np.array(["a", "b", "c", "d"], dtype=object), np.array([0, 1, 2, 2]), said, CLASSES)
    table = pd.DataFrame(
        {"image_id": list("dcba"), "score": [0.1, 0.4, 0.4, 0.9], "matched": [False, True, True, False]}
    )
    given = (whole, 200, rng(), np.arange(4))
    scores = matched_scores(table, *given)
    # three of four pairs in order, one tied; resamples have c twice (0.75), both, or d twice (1)
    assert scores["all"]["grey_level_auc"] == {"value": 3.5 / 4, "chance": 0.5, "ci95": [0.75, 1]}
    assert scores["matched"]["grey_level_auc"]["value"] == 0.5
    together = matched_scores(table, whole, 200, rng(), np.array([0, 1, 2, 2]))
    assert together["all"]["grey_level_auc"]["ci95"] == [3.5 / 4] * 2  # c and d are drawn as one
    assert together["all"]["groups"] == 3 and scores["all"]["groups"] == 4
    assert scores["all"]["n"] == 4 and scores["matched"]["n"] == 2
    assert scores["all"]["tumor_or_none"]["value"] == 0.5 and scores["matched"]["tumor_or_none"]["value"] == 0
    exact = binomtest(2, 4).proportion_ci(method="exact")
    assert scores["all"]["class"] == {"value": 0.5, "chance": 0.5, "ci95": pytest.approx([exact.low, exact.high])}
    alone = matched_scores(table.assign(matched=False), *given)["matched"]
    assert alone == {"n": 0, "groups": 0, "grey_level_auc": None, "tumor_or_none": None, "class": None}
    figshare = Predictions(whole.image_ids, np.array([0, 0, 1, 1]), said[:, :2], ("glioma", "meningioma"))
    assert matched_scores(table, figshare, *given[1:]) == {}


def test_the_figures_hold_everything(predictions):
    alike = pd.DataFrame({"image_id": predictions.image_ids, "score": np.linspace(0, 1, 157), "matched": True})
    scores = {
        "views": view_scores({who: {"whole": predictions} for who in ("main", "probe")}, 50, rng()),
        "pasted": pasted_scores(sure(["glioma"] * 4).assign(pasted=["", "", "glioma", "glioma"]), np.arange(4)),
        "contrasts": contrast_scores(sure(["glioma"] * 2).assign(label=["no_tumor", "glioma"], contrast="t1")),
        "matched": matched_scores(alike, predictions, 50, rng(), np.arange(157)),
    }
    json.dumps(scores, allow_nan=False)
    figure = shortcut_figure(scores)
    assert [len(axes.patches) for axes in figure.axes] == [2, 2, 2, 6]
    empty = shortcut_figure(scores | {"pasted": {}, "contrasts": {}, "matched": {}})
    assert [len(axes.patches) for axes in empty.axes] == [2, 0, 0, 0]
    alone = matched_scores(alike.assign(matched=False), predictions, 50, rng(), np.arange(157))
    assert len(shortcut_figure(scores | {"matched": alone}).axes[3].patches) == 3
    images = np.zeros((3, 8, 8, 3), dtype=np.uint8)
    shown = examples_figure({"whole": images, "glioma pasted": images[:1]})
    assert sum(bool(axes.images) for axes in shown.axes) == 4
