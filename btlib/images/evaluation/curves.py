"""ROC and precision-recall curves as tables, for figures and for `dvc plots`."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from sklearn.metrics import precision_recall_curve, roc_curve

from btlib.core.metrics.predictions import Predictions


def roc_curves(predictions: Predictions) -> dict[str, pd.DataFrame]:
    """One-versus-rest ROC curves: class name, 'micro' and 'macro' -> fpr, tpr.

    The macro curve is the mean true-positive rate of the classes over the union of their false-positive rates; its
    area is the mean of the classes' areas, up to the interpolation of vertical steps.
    """
    curves = {name: roc_curve(positive, score)[:2] for name, positive, score in _decisions(predictions)}
    grid = np.unique(np.concatenate([curves[name][0] for name in predictions.classes]))
    mean = np.mean([np.interp(grid, *curves[name]) for name in predictions.classes], axis=0)
    # every curve starts at (0, 0), which interpolation at 0 skips if the first step is vertical
    curves["macro"] = np.append(0, grid), np.append(0, mean)
    return {name: pd.DataFrame({"fpr": fpr, "tpr": tpr}) for name, (fpr, tpr) in curves.items()}


def pr_curves(predictions: Predictions) -> dict[str, pd.DataFrame]:
    """One-versus-rest precision-recall curves: class name and 'micro' -> recall, precision."""
    curves = {}
    for name, positive, score in _decisions(predictions):
        precision, recall, _ = precision_recall_curve(positive, score, drop_intermediate=True)
        curves[name] = pd.DataFrame({"recall": recall, "precision": precision})
    return curves


def confusion_rows(predictions: Predictions) -> pd.DataFrame:
    """One row per image: actual and predicted class name, as DVC's confusion template expects."""
    names = np.array(predictions.classes)
    return pd.DataFrame({"actual": names[predictions.labels], "predicted": names[predictions.predicted]})


def _decisions(predictions: Predictions) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    onehot, probabilities = predictions.onehot, predictions.probabilities
    for k, name in enumerate(predictions.classes):
        yield name, onehot[:, k], probabilities[:, k]
    yield "micro", onehot.ravel(), probabilities.ravel()
