"""Each score against a second implementation: its formula, a count over pairs, or torchmetrics."""

import itertools

import numpy as np
import pytest
import torch
import torchmetrics.functional.classification as torchmetrics
from sklearn.metrics import log_loss

from btlib.core.metrics.calibration import scale
from btlib.core.metrics.classification import METRICS, Sample, nll, per_class
from btlib.core.metrics.classification import scores as all_scores
from btlib.core.metrics.predictions import Predictions


@pytest.fixture
def scores(predictions):
    return all_scores(predictions, temperature=1.0, bins=15)


def confusion(predictions) -> np.ndarray:
    counts = np.zeros((4, 4))
    for true, said in zip(predictions.labels, predictions.predicted, strict=True):
        counts[true, said] += 1
    return counts


def pairwise_auc(positive: np.ndarray, scores: np.ndarray) -> float:
    """The probability that a positive outranks a negative, ties counting one half."""
    pairs = list(itertools.product(scores[positive == 1], scores[positive == 0]))
    return float(np.mean([(a > b) + (a == b) / 2 for a, b in pairs]))


def threshold_ap(positive: np.ndarray, scores: np.ndarray) -> float:
    """Σ (R_n − R_{n−1}) P_n over the distinct thresholds."""
    total, before = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        taken = positive[scores >= threshold]
        recall = taken.sum() / positive.sum()
        total, before = total + (recall - before) * taken.mean(), recall
    return total


def test_every_metric_is_documented_and_has_a_direction(predictions):
    for metric in METRICS.values():
        assert metric.title and metric.source and metric.label
    best = Predictions(predictions.image_ids, predictions.labels, predictions.onehot.astype(float), predictions.classes)
    worse, perfect = all_scores(predictions, 1.0, 15), all_scores(best, 1.0, 15)
    for name, metric in METRICS.items():
        assert (perfect[name] > worse[name]) == metric.higher_is_better, name


def test_accuracy_and_f1_by_counting(predictions, scores):
    counts = confusion(predictions)
    f1 = 2 * np.diag(counts) / (counts.sum(axis=0) + counts.sum(axis=1))
    assert scores["accuracy"] == pytest.approx(np.trace(counts) / counts.sum())
    assert scores["macro_f1"] == pytest.approx(f1.mean())


def test_kappa_by_formula(predictions, scores):
    counts = confusion(predictions) / len(predictions.labels)
    agreed, chance = np.trace(counts), counts.sum(axis=0) @ counts.sum(axis=1)
    assert scores["kappa"] == pytest.approx((agreed - chance) / (1 - chance))


def test_mcc_is_the_correlation_of_one_hot_labels(predictions, scores):
    true, said = (m - m.mean(axis=0) for m in (predictions.onehot, np.eye(4)[predictions.predicted]))
    assert scores["mcc"] == pytest.approx((true * said).sum() / np.sqrt((true**2).sum() * (said**2).sum()))


def test_auc_by_counting_pairs_with_ties(predictions, scores):
    positive, said = predictions.onehot, predictions.probabilities
    each = [pairwise_auc(positive[:, k], said[:, k]) for k in range(4)]
    assert scores["roc_auc_macro"] == pytest.approx(np.mean(each))
    assert scores["roc_auc_micro"] == pytest.approx(pairwise_auc(positive.ravel(), said.ravel()))
    assert [row["roc_auc"] for row in per_class(predictions).values()] == pytest.approx(each)


def test_ap_over_distinct_thresholds(predictions, scores):
    positive, said = predictions.onehot, predictions.probabilities
    each = [threshold_ap(positive[:, k], said[:, k]) for k in range(4)]
    assert scores["ap_macro"] == pytest.approx(np.mean(each))
    assert scores["ap_micro"] == pytest.approx(threshold_ap(positive.ravel(), said.ravel()))
    assert [row["ap"] for row in per_class(predictions).values()] == pytest.approx(each)


def test_all_scores_tied_gives_auc_one_half_and_ap_the_prevalence():
    labels = np.repeat(np.arange(4), 5)
    flat = Predictions(np.arange(20).astype(object), labels, np.full((20, 4), 0.25), ("a", "b", "c", "d"))
    scores = all_scores(flat, 1.0, 15)
    assert scores["roc_auc_macro"] == scores["roc_auc_micro"] == 0.5
    assert scores["ap_macro"] == scores["ap_micro"] == 0.25
    assert scores["kappa"] == scores["mcc"] == 0


def test_torchmetrics_agrees(predictions, scores):
    said, labels = torch.tensor(predictions.probabilities), torch.tensor(predictions.labels)
    binary = {"num_labels": 4}
    assert scores["mcc"] == pytest.approx(float(torchmetrics.multiclass_matthews_corrcoef(said, labels, 4)), abs=1e-6)
    assert scores["kappa"] == pytest.approx(float(torchmetrics.multiclass_cohen_kappa(said, labels, 4)), abs=1e-6)
    assert scores["macro_f1"] == pytest.approx(float(torchmetrics.multiclass_f1_score(said, labels, 4)), abs=1e-6)
    onehot = torch.tensor(predictions.onehot)
    micro = torchmetrics.multilabel_auroc(said, onehot, average="micro", **binary)
    assert scores["roc_auc_micro"] == pytest.approx(float(micro), abs=1e-6)
    micro = torchmetrics.multilabel_average_precision(said, onehot, average="micro", **binary)
    assert scores["ap_micro"] == pytest.approx(float(micro), abs=1e-6)


def test_per_class_by_counting(predictions):
    counts = confusion(predictions)
    for k, (name, row) in enumerate(per_class(predictions).items()):
        assert name == predictions.classes[k]
        assert row["support"] == (predictions.labels == k).sum()
        assert row["precision"] == pytest.approx(counts[k, k] / counts[:, k].sum())
        assert row["recall"] == pytest.approx(counts[k, k] / counts[k].sum())
        assert row["f1"] == pytest.approx(2 * row["precision"] * row["recall"] / (row["precision"] + row["recall"]))


def test_a_class_never_predicted_has_precision_zero():
    labels = np.array([0, 0, 1, 1])
    said = Predictions(np.arange(4).astype(object), labels, np.array([[0.9, 0.1]] * 4), ("a", "b"))
    assert per_class(said)["b"] == {"precision": 0, "recall": 0, "f1": 0, "support": 2, "roc_auc": 0.5, "ap": 0.5}
    assert all_scores(said, 1.0, 15)["macro_f1"] == pytest.approx(1 / 3)


def test_proper_scores(predictions, scores):
    # scikit-learn's log loss clips at the float epsilon and ours far below it: compare without zeros
    safe = scale(predictions.probabilities + 0.01, 1.0)
    sample = Sample(predictions.labels, safe, np.ones((1, len(safe))))
    assert nll(sample)[0] == pytest.approx(log_loss(predictions.labels, safe))
    by_hand = np.mean([(row - np.eye(4)[k]) @ (row - np.eye(4)[k]) for row, k in zip(
        predictions.probabilities, predictions.labels, strict=True)])  # fmt: skip
    assert scores["brier"] == pytest.approx(by_hand)


def test_temperature_changes_only_calibration(predictions, scores):
    warm = all_scores(predictions, temperature=2.0, bins=15)
    changed = {name for name in scores if scores[name] != warm[name]}
    assert changed == {"ece_temperature_scaled", "nll_temperature_scaled"}


def test_scores_do_not_depend_on_the_order_of_rows(predictions, scores):
    order = np.random.default_rng(1).permutation(len(predictions.labels))
    shuffled = Predictions(
        predictions.image_ids[order], predictions.labels[order], predictions.probabilities[order], predictions.classes
    )
    assert all_scores(shuffled, 1.0, 15) == pytest.approx(scores)
