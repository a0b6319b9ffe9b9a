"""Accuracy, calibration and sensitivity of models on corrupted images."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from btlib.core.metrics.classification import accuracy, ece
from btlib.core.metrics.predictions import Predictions, checked_predictions, classes_in, mismatch
from btlib.core.metrics.resampling import interval, stratified_weights
from btlib.core.metrics.sample import Sample
from btlib.core.runtime.artifacts import read_csv
from btlib.core.runtime.errors import InputError, listed

Case = tuple[str, int]  # corruption, severity
CLEAN: Case = ("clean", 0)
KEYS = ("model", "corruption", "severity")

READING = {
    "mca": "Mean corruption accuracy: the mean over corruptions of the mean over severities.",
    "drop": "Clean accuracy minus mCA; the interval uses the same resampled images for both.",
    "ci95": (
        "The intervals come from resampling the test images within their class (near copies together, where groups are "
        "known), with the trained network and the drawn corruptions fixed. The ECE is biased upwards in resamples."
    ),
}


def read_runs(path: Path) -> dict[str, dict[Case, Predictions]]:
    """Reads concatenated predictions tables with the same classes and the extra columns `KEYS`.

    Returns:
        model -> (corruption, severity) -> predictions, in file order.

    Raises:
        InputError: a column is missing, or a part is not a predictions table.
    """
    table = read_csv(path, text=("model", "corruption", "image_id", "label"))
    missing = [name for name in KEYS if name not in table.columns]
    if missing:
        raise InputError(f"{path}: missing columns {missing}; run `dvc repro` again")
    classes = classes_in(table)
    runs: dict[str, dict[Case, Predictions]] = {}
    for (model, corruption, severity), part in table.groupby(list(KEYS), sort=False):
        rows = part.drop(columns=list(KEYS)).reset_index(drop=True)
        origin = f"{path}, {model}, {corruption} {severity}"
        runs.setdefault(model, {})[corruption, int(severity)] = checked_predictions(rows, classes, origin)
    return runs


def robustness_table(
    runs: Mapping[str, Mapping[Case, Predictions]],
    bins: int,
    resamples: int,
    rng: np.random.Generator,
    groups: np.ndarray | None = None,
) -> dict:
    """The table as JSON: {"models": model -> rows}; READING explains the numbers.

    A model's rows hold clean; corruptions: name -> severities ("1" …), mean (over the severities) and its ci95; mca,
    drop and mean_ece over all corruptions; ci95 of clean, mca, drop and mean_ece. Scores are accuracy, ece and
    sensitivity (class -> recall).

    Args:
        runs: model -> (corruption, severity) -> predictions, with CLEAN among the cases.
        bins: number of ECE bins.
        resamples: bootstrap resamples; every model and case gets the same ones, so that differences are paired.
        groups: [N] group of each test image, drawn together; None: each image on its own.

    Raises:
        InputError: the models have different cases, the clean case or all corruptions are missing, or predictions are
            not for the same images.
    """
    first = _checked(runs)
    drawn = stratified_weights(first.labels, resamples, rng, groups)
    # Row 0 counts every image once and so gives the estimates; the rest are the resamples.
    weights = np.vstack([np.ones(len(first.labels)), drawn])
    models = {
        name: _model_rows({case: _scores(made, bins, weights) for case, made in cases.items()}, first.classes)
        for name, cases in runs.items()
    }
    return {"models": models}


def _checked(runs: Mapping[str, Mapping[Case, Predictions]]) -> Predictions:
    """One of the predictions, after checking that all are for the same cases and images."""
    name, cases = next(iter(runs.items()))
    if CLEAN not in cases or len(cases) < 2:
        raise InputError(f"{name}: found {len(cases)} cases, expected {CLEAN} and at least one corruption")
    first, faults = cases[CLEAN], []
    for other, made in runs.items():
        odd = sorted(set(made) ^ set(cases))
        faults += [f"{other}: {case} is missing from it or from {name}" for case in odd]
        faults += [f"{other}, {case}: {fault}" for case in made if (fault := mismatch(first, made[case]))]
    if faults:
        raise InputError(f"not comparable with {name}, clean:\n{listed(faults)}\nRun `dvc repro` to write them again.")
    return first


def _scores(predictions: Predictions, bins: int, weights: np.ndarray) -> np.ndarray:
    """[B, 2 + K]: accuracy, ECE and the sensitivity of each class, with row n counted weights[b, n] times."""
    sample = Sample(predictions.labels, predictions.probabilities, weights, bins)
    recalls = [sample.recall(number) for number in range(len(predictions.classes))]
    return np.column_stack([accuracy(sample), ece(sample), *recalls])


def _model_rows(scores: dict[Case, np.ndarray], classes: Sequence[str]) -> dict:
    """The rows of one model, from case -> scores [1 + B, 2 + K], whose row 0 is the estimate."""
    clean = scores[CLEAN]
    corruptions = list(dict.fromkeys(name for name, _ in scores if name != CLEAN[0]))
    severities = {name: sorted(severity for other, severity in scores if other == name) for name in corruptions}
    means = {name: np.mean([scores[name, severity] for severity in severities[name]], axis=0) for name in corruptions}
    mca, mean_ece = np.mean(list(means.values()), axis=0)[:, :2].T
    headline = {"mca": mca, "drop": clean[:, 0] - mca, "mean_ece": mean_ece}
    rows = {
        name: {
            "severities": {str(severity): _named(scores[name, severity][0], classes) for severity in severities[name]},
            "mean": _named(means[name][0], classes),
            "ci95": _named(_intervals(means[name]), classes),
        }
        for name in corruptions
    }
    return {
        "clean": _named(clean[0], classes),
        "corruptions": rows,
        **{name: float(values[0]) for name, values in headline.items()},
        "ci95": {
            "clean": _named(_intervals(clean), classes),
            **{name: interval(values[1:]) for name, values in headline.items()},
        },
    }


def _intervals(scores: np.ndarray) -> list[list[float]]:
    """The interval over the resamples for each column of scores [1 + B, 2 + K]."""
    return [interval(column) for column in scores[1:].T]


def _named(values: Sequence, classes: Sequence[str]) -> dict:
    """2 + K values (numbers or intervals) by score name."""
    right, error, *sensitivity = values.tolist() if isinstance(values, np.ndarray) else values
    return {"accuracy": right, "ece": error, "sensitivity": dict(zip(classes, sensitivity, strict=True))}
