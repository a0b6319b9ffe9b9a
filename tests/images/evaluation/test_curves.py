import numpy as np
import pytest
from sklearn.metrics import auc

from btlib.core.metrics.classification import per_class, scores
from btlib.images.evaluation.curves import confusion_rows, pr_curves, roc_curves


def test_the_area_under_each_roc_curve_is_its_auc(predictions):
    curves, found = roc_curves(predictions), scores(predictions, 1.0, 15)
    areas = {name: auc(points["fpr"], points["tpr"]) for name, points in curves.items()}
    for name, row in per_class(predictions).items():
        assert areas[name] == pytest.approx(row["roc_auc"])
    assert areas["micro"] == pytest.approx(found["roc_auc_micro"])
    assert areas["macro"] == pytest.approx(found["roc_auc_macro"], abs=0.01)


def test_roc_curves_run_from_corner_to_corner(predictions):
    curves = roc_curves(predictions)
    assert list(curves) == [*predictions.classes, "micro", "macro"]
    for points in curves.values():
        assert points.iloc[0].tolist() == [0, 0] and points.iloc[-1].tolist() == [1, 1]
        assert (points.diff().dropna() >= 0).all(axis=None)


def test_the_steps_under_each_pr_curve_sum_to_its_ap(predictions):
    curves = pr_curves(predictions)
    for name, row in per_class(predictions).items():
        recall, precision = curves[name]["recall"].to_numpy(), curves[name]["precision"].to_numpy()
        # dropped points are on vertical steps of equal recall, which have no area
        assert -np.sum(np.diff(recall) * precision[:-1]) == pytest.approx(row["ap"], abs=1e-9)


def test_confusion_rows_are_class_names_in_order(predictions):
    rows = confusion_rows(predictions)
    assert (rows["actual"] == rows["predicted"]).mean() == pytest.approx(predictions.correct.mean())
    assert rows["actual"][0] == predictions.classes[predictions.labels[0]]
