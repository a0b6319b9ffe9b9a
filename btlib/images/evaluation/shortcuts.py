"""Shortcut learning: does a classifier use the lesion or its context? Scores of four experiments.

Views that hide the lesion (brain blacked out, background or border alone), lesions pasted into images without tumour,
the same slice in every MRI contrast, and images with and without tumour matched by grey level.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from btlib.core.metrics.predictions import Predictions
from btlib.core.metrics.resampling import exact_ci95, interval, stratified_weights
from btlib.core.metrics.sample import ranking_scores

NO_TUMOR = "no_tumor"

READING = {
    "views": (
        "Accuracy above chance on a view without the lesion comes from the rest of the image: outline, margins, scalp, "
        "marks. `main` was trained on whole images, `probe` on the view."
    ),
    "chance": "The share of the largest class, which is the accuracy of always guessing it.",
    "pasted": (
        "Test images without tumour, before and after a phantom lesion of a class is pasted in. A network that reads "
        "lesions should then call them tumours; but a pasted lesion has no mass effect, and a pituitary one is only a "
        "bright midline mass on slices above the sella. The control is pasted like a glioma but has the grey level of "
        "the brain, so any change that it causes is due to pasting itself. It also erases the anatomy beneath it, so a "
        "network may rightly take it for a mass."
    ),
    "contrasts": (
        "Phantom slices that differ only in contrast. A network that reads the lesion never calls a healthy slice a "
        "tumour, and always calls one with a tumour a tumour, whatever the contrast."
    ),
    "matched": (
        "`grey_level_auc`: AUC of tumour against none from the grey-level histogram alone. Matched images come in "
        "pairs, one with and one without a tumour, with equal scores from their histograms, so there it is about one "
        "half, and a network that relies on contrast is right on half of them. Bright lesions change the histogram, so "
        "the pairs favour inconspicuous lesions; source, plane and outline are not matched."
    ),
    "ci95": (
        "For views and `grey_level_auc`, a bootstrap that draws near copies and slices of one patient (a group) "
        "together. For all other shares, exact binomial: it keeps its width at 0 and 100 %, but treats images as "
        "independent, so for `pasted` and `matched` it is too narrow, increasingly so as `groups` falls below `n`. For "
        "`contrasts` every image is of a different subject, so there it is valid. Only a few lesions are pasted, in "
        "turn, and the interval covers only these."
    ),
}


def view_scores(
    runs: Mapping[str, Mapping[str, Predictions]],
    resamples: int,
    rng: np.random.Generator,
    groups: np.ndarray | None = None,
) -> dict:
    """{model: {view: {accuracy, chance, sensitivity, predicted_share, ci95}}}.

    Args:
        runs: model -> view -> predictions of the same images.
        resamples: bootstrap resamples within the classes, the same for all views.
        groups: [N] group of each image, drawn together.
    """
    first = next(iter(next(iter(runs.values())).values()))
    weights = stratified_weights(first.labels, resamples, rng, groups)
    return {model: {view: _view(made, weights) for view, made in views.items()} for model, views in runs.items()}


def _view(made: Predictions, weights: np.ndarray) -> dict:
    hits, onehot = made.correct.astype(float), made.onehot
    found = weights @ (onehot * hits[:, None]) / (weights @ onehot)
    said = np.bincount(made.predicted, minlength=len(made.classes)) / len(made.labels)
    recall = (onehot * hits[:, None]).sum(axis=0) / onehot.sum(axis=0)
    return {
        "accuracy": float(hits.mean()),
        "chance": float(onehot.mean(axis=0).max()),
        "sensitivity": dict(zip(made.classes, recall.tolist(), strict=True)),
        "predicted_share": dict(zip(made.classes, said.tolist(), strict=True)),
        "ci95": {
            "accuracy": interval(weights @ hits / weights.sum(axis=1)),
            "sensitivity": {name: interval(found[:, k]) for k, name in enumerate(made.classes)},
        },
    }


def pasted_scores(table: pd.DataFrame, groups: np.ndarray) -> dict:
    """{pasted class or control: {n, groups, called_tumor, called_so, ci95}}: shares of images.

    The intervals are exact binomial and treat images as independent; `groups` is the number of independent ones.

    Args:
        table: `pasted` (a class, or '' for the unchanged image) and p_<class> columns; no image has a tumour itself.
        groups: [N] group of each row's image.
    """
    if table.empty:
        return {}
    said, scores = _said(table), {}
    group_of = pd.Series(groups, index=table.index)
    for pasted, rows in said.groupby(table["pasted"].to_numpy(), sort=False):
        shares = {"called_tumor": rows != NO_TUMOR}
        if f"p_{pasted}" in table.columns:
            shares["called_so"] = rows == pasted
        scores[pasted or "none"] = {
            "n": len(rows),
            "groups": group_of[rows.index].nunique(),
            **{name: float(hit.mean()) for name, hit in shares.items()},
            "ci95": {name: exact_ci95(int(hit.sum()), len(hit)) for name, hit in shares.items()},
        }
    return scores


def contrast_scores(table: pd.DataFrame) -> dict:
    """{healthy or with_tumor: {contrast: {n, called_tumor, ci95, p_no_tumor}}}, with exact binomial intervals.

    Within a contrast every image is of a different subject, so images are independent, as the intervals assume.

    Args:
        table: `contrast`, `label` and p_<class> columns; without p_no_tumor the result is empty.
    """
    if f"p_{NO_TUMOR}" not in table.columns:
        return {}
    said, scores = _said(table), {}
    kinds = np.where(table["label"] == NO_TUMOR, "healthy", "with_tumor")
    for (kind, contrast), rows in table.groupby([kinds, "contrast"], sort=False):
        hit = said[rows.index] != NO_TUMOR
        scores.setdefault(kind, {})[contrast] = {
            "n": len(rows),
            "called_tumor": float(hit.mean()),
            "ci95": exact_ci95(int(hit.sum()), len(hit)),
            "p_no_tumor": float(rows[f"p_{NO_TUMOR}"].mean()),
        }
    return scores


def matched_scores(
    table: pd.DataFrame, whole: Predictions, resamples: int, rng: np.random.Generator, groups: np.ndarray
) -> dict:
    """{all or matched: {n, groups, grey_level_auc, tumor_or_none, class}}, each {value, chance, ci95} or None (n = 0).

    Accuracies on tumour or none and on the class have exact intervals, which treat images as independent; `groups` is
    the number of independent ones. The AUC has a bootstrap interval. Empty if there is no class without tumour.

    Args:
        table: image_id, label, `score` (of `btlib.images.explain.contrast_match`), `matched`; the images of `whole`.
        whole: the main model's predictions for the unchanged images.
        resamples: bootstrap resamples within the classes.
        groups: [N] group of each image, drawn together.
    """
    if NO_TUMOR not in whole.classes:
        return {}
    rows = table.set_index("image_id").loc[list(whole.image_ids)]
    scores, matched = rows["score"].to_numpy(), rows["matched"].to_numpy(bool)
    return {
        name: _gray_levels(whole, scores, chosen, resamples, rng, groups)
        for name, chosen in (("all", np.arange(len(rows))), ("matched", np.flatnonzero(matched)))
    }


def _gray_levels(
    whole: Predictions,
    scores: np.ndarray,
    rows: np.ndarray,
    resamples: int,
    rng: np.random.Generator,
    groups: np.ndarray,
) -> dict:
    """The entry of `matched_scores` for these rows."""
    if not len(rows):
        return {"n": 0, "groups": 0, **dict.fromkeys(("grey_level_auc", "tumor_or_none", "class"))}
    none = whole.classes.index(NO_TUMOR)
    labels, predicted = whole.labels[rows], whole.predicted[rows]
    drawn = stratified_weights(labels, resamples, rng, groups[rows])
    (auc, *resampled), _ = ranking_scores(labels != none, scores[rows], np.vstack([np.ones(len(rows)), drawn]))
    return {
        "n": len(rows),
        "groups": len(np.unique(groups[rows])),
        "grey_level_auc": {"value": float(auc), "chance": 0.5, "ci95": interval(np.array(resampled))},
        "tumor_or_none": _share(labels == none, predicted == none),
        "class": _share(labels, predicted),
    }


def _share(labels: np.ndarray, said: np.ndarray) -> dict:
    """Accuracy, and the accuracy of always predicting the most frequent label."""
    hits = int((said == labels).sum())
    chance = np.unique(labels, return_counts=True)[1].max() / len(labels)
    return {"value": hits / len(labels), "chance": float(chance), "ci95": exact_ci95(hits, len(labels))}


def _said(table: pd.DataFrame) -> pd.Series:
    """The name of the most probable class of each row."""
    return table.filter(regex="^p_").idxmax(axis=1).str.removeprefix("p_")
