import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, roc_auc_score

from btlib.core.metrics.calibration import fit_temperature, scale
from btlib.core.metrics.predictions import Predictions
from btlib.images.data.classes import CLASSES
from btlib.images.evaluation.cross_validation import Fold, cross_validation_metrics


def answers(prefix, count, seed):
    """Predictions that are mostly right."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 4
    probabilities = rng.dirichlet(np.ones(4), size=count) + 0.5 * np.eye(4)[labels]
    ids = np.array([f"{prefix}{n}" for n in range(count)], dtype=object)
    return Predictions(ids, labels, probabilities / probabilities.sum(axis=1, keepdims=True), CLASSES)


@pytest.fixture
def study():
    """Two folds of 40 test images; every second image has a known patient, four images each."""
    folds = {0: Fold(answers("v", 24, 0), answers("a", 40, 1)), 1: Fold(answers("w", 24, 2), answers("b", 40, 3))}
    ids = np.concatenate([part.image_ids for fold in folds.values() for part in fold])
    known = np.arange(len(ids)) % 2 == 0
    group = np.where(known, np.arange(len(ids)) // 8, 1000 + np.arange(len(ids)))
    patient = [f"P{number}" if here else "" for number, here in zip(group, known, strict=True)]
    return folds, pd.DataFrame({"image_id": ids, "group": group, "patient": patient})


def metrics(study):
    folds, manifest = study
    return cross_validation_metrics(folds, manifest, 15, 200, np.random.default_rng(0))


def test_pooled_scores_cover_all_test_images(study):
    found, (folds, _) = metrics(study), study
    labels = np.concatenate([fold.test.labels for fold in folds.values()])
    probabilities = np.concatenate([fold.test.probabilities for fold in folds.values()])
    assert found["pooled"]["accuracy"] == accuracy_score(labels, probabilities.argmax(axis=1))
    assert found["pooled"]["roc_auc_macro"] == pytest.approx(roc_auc_score(np.eye(4)[labels], probabilities))
    assert found["pooled"]["n_test"] == 80 and found["pooled"]["errors"] == sum(row["errors"] for row in found["folds"])
    low, high = found["pooled"]["ci95"]["accuracy"]
    assert low < found["pooled"]["accuracy"] < high


def test_each_fold_is_scaled_by_its_own_temperature(study):
    found, (folds, manifest) = metrics(study), study
    group = manifest.set_index("image_id")["group"]
    scaled = []
    for number, fold in folds.items():
        val = fold.val
        temperature = fit_temperature(val.probabilities, val.labels, group[list(val.image_ids)].to_numpy())
        assert found["folds"][number]["temperature"] == temperature
        rows = scale(fold.test.probabilities, temperature)
        scaled.append(-np.log(rows[np.arange(len(rows)), fold.test.labels]))
    assert found["folds"][0]["temperature"] != found["folds"][1]["temperature"]
    assert found["pooled"]["nll_temperature_scaled"] == pytest.approx(np.concatenate(scaled).mean())


def test_mean_and_spread_over_folds_and_known_patients_by_hand(study):
    found, (folds, manifest) = metrics(study), study
    accuracies = [row["accuracy"] for row in found["folds"]]
    assert found["mean"]["accuracy"] == pytest.approx(np.mean(accuracies))
    assert found["sd"]["accuracy"] == pytest.approx(np.std(accuracies, ddof=1))
    known = set(manifest["image_id"][manifest["patient"] != ""])
    right = [
        ok for f in folds.values() for name, ok in zip(f.test.image_ids, f.test.correct, strict=True) if name in known
    ]
    assert found["known_patients"]["images"] == len(right) == 40
    assert found["known_patients"]["accuracy"] == pytest.approx(np.mean(right))
    assert found["known_patients"]["errors"] == len(right) - sum(right)


def test_without_known_patients_or_folds(study):
    folds, manifest = study
    assert metrics((folds, manifest.assign(patient="")))["known_patients"] is None
    assert metrics(({}, manifest)) == {"folds": [], "mean": None, "sd": None, "pooled": None, "known_patients": None}
