import json

import numpy as np
import pytest

from btlib.images.evaluation.classification import classification_metrics


def test_all_documented_scores_are_there_and_are_json(predictions):
    groups = np.arange(157) // 2
    metrics = classification_metrics(predictions, groups, 1.4, 15, 100, np.random.default_rng(0))
    expected = {"accuracy", "macro_f1", "roc_auc_macro", "roc_auc_micro", "ap_macro", "ap_micro", "ece", "kappa", "mcc"}
    assert expected | {
        "per_class",
        "ci95",
        "temperature",
        "ece_temperature_scaled",
        "n_test",
        "n_groups",
        "errors",
    } <= set(metrics)
    assert expected <= set(metrics["ci95"])
    assert metrics["n_test"] - metrics["errors"] == pytest.approx(metrics["accuracy"] * 157)
    assert metrics["n_groups"] == 79
    low, high = metrics["accuracy_ci95_exact"]
    assert low < metrics["accuracy"] < high
    json.dumps(metrics, allow_nan=False)


def test_a_perfect_table_is_json_too(predictions):
    perfect = predictions.__class__(
        predictions.image_ids, predictions.labels, predictions.onehot.astype(float), predictions.classes
    )
    metrics = classification_metrics(perfect, np.arange(157), 0.5, 15, 100, np.random.default_rng(0))
    assert metrics["errors"] == 0 and metrics["kappa"] == 1 and metrics["ece"] == 0 and metrics["nll"] == 0
    json.dumps(metrics, allow_nan=False)
