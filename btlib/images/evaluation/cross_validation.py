"""metrics/cross_validation.json: every image predicted by a network trained without its group of images."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from btlib.core.metrics.calibration import fit_temperature
from btlib.core.metrics.classification import COMPARED, ECE, ci95, per_class, scores
from btlib.core.metrics.metric import temperature_scaled
from btlib.core.metrics.predictions import Predictions
from btlib.core.metrics.resampling import interval, stratified_weights

OF_A_FOLD = (*COMPARED, temperature_scaled(ECE).name)


class Fold(NamedTuple):
    """Predictions of one fold's network for its validation and test images."""

    val: Predictions
    test: Predictions


def cross_validation_metrics(
    folds: Mapping[int, Fold], manifest: pd.DataFrame, bins: int, resamples: int, rng: np.random.Generator
) -> dict:
    """Scores of each fold, of all test predictions pooled, and of the images whose patient is known.

    Args:
        folds: number -> predictions; the test images of different folds do not overlap.
        manifest: `image_id, group, patient`.
        bins: number of ECE bins.
        resamples: bootstrap resamples of groups within their class, over the pooled images.

    Returns:
        `folds`, a list with scores, temperature and sizes of each; `mean` and `sd` of their scores; `pooled`, as in
        metrics/classification.json; `known_patients`. Without folds: an empty list and nulls.
    """
    if not folds:
        return {"folds": [], "mean": None, "sd": None, "pooled": None, "known_patients": None}
    facts = manifest.set_index("image_id")
    temperatures = {
        number: fit_temperature(
            fold.val.probabilities, fold.val.labels, facts["group"][list(fold.val.image_ids)].to_numpy()
        )
        for number, fold in folds.items()
    }
    rows = [
        {
            "fold": number,
            **scores(fold.test, temperatures[number], bins, OF_A_FOLD),
            "temperature": temperatures[number],
            **_sizes(fold.test, facts),
        }
        for number, fold in folds.items()
    ]
    of_folds = pd.DataFrame(rows)[list(OF_A_FOLD)]
    test = pooled([fold.test for fold in folds.values()])
    per_image = np.concatenate([np.full(len(f.test.labels), temperatures[number]) for number, f in folds.items()])
    groups = facts["group"][list(test.image_ids)].to_numpy()
    return {
        "folds": rows,
        "mean": of_folds.mean().to_dict(),
        "sd": of_folds.std(ddof=1).to_dict(),
        "pooled": {
            **scores(test, per_image, bins),
            "per_class": per_class(test),
            "ci95": ci95(test, per_image, bins, resamples, rng, groups),
            **_sizes(test, facts),
        },
        "known_patients": known_patients(test, facts, resamples, rng),
    }


def pooled(tables: list[Predictions]) -> Predictions:
    """The tables concatenated."""
    first = tables[0]
    assert all(table.classes == first.classes for table in tables)
    ids, labels, probabilities = zip(*((t.image_ids, t.labels, t.probabilities) for t in tables), strict=True)
    return Predictions(*(np.concatenate(parts) for parts in (ids, labels, probabilities)), first.classes)


def known_patients(test: Predictions, facts: pd.DataFrame, resamples: int, rng: np.random.Generator) -> dict | None:
    """Accuracy on the images whose patient is known, with an interval over patients; None if there are none.

    Args:
        facts: `group, patient` by image_id.
    """
    patients = facts["patient"][list(test.image_ids)].to_numpy(dtype=object)
    known = patients != ""
    if not known.any():
        return None
    correct, groups = test.correct[known], facts["group"][list(test.image_ids[known])].to_numpy()
    weights = stratified_weights(test.labels[known], resamples, rng, groups)
    return {
        "images": int(known.sum()),
        "patients": len(set(patients[known])),
        "errors": int((~correct).sum()),
        "accuracy": float(correct.mean()),
        "ci95": {"accuracy": interval(weights @ correct / weights.sum(axis=1))},
    }


def _sizes(test: Predictions, facts: pd.DataFrame) -> dict[str, int]:
    chosen = facts.loc[list(test.image_ids)]
    return {
        "n_test": len(chosen),
        "n_groups": int(chosen["group"].nunique()),
        "n_patients": int(chosen.loc[chosen["patient"] != "", "patient"].nunique()),
        "errors": int((~test.correct).sum()),
    }
