"""Scores of the packaged classifier on images from another hospital: tumour against none, also within patients.

Over all images, the scanner, framing or head shape may reveal who has a tumour. Within a patient they are constant, so
the AUC within patients measures what is left: the lesion.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from btlib.core.metrics.metric import Metric, registry
from btlib.core.metrics.resampling import bootstrap_ci95, weighted_mean
from btlib.core.metrics.sample import ranking_scores
from btlib.core.runtime.artifacts import read_csv
from btlib.core.runtime.errors import InputError
from btlib.images.data.tumor_or_none import NONE, TUMOR

WITHIN = "auc_within_patients"
OF_CLASSES = ("accuracy", "macro_f1")  # for sets that label the tumour type
OF_DOUBT = ("unsure", "unfamiliar")
TUMOR_OR_NONE = ("sensitivity", "specificity", "auc", WITHIN)
COLUMNS = ("path", "label", "patient", "unsure", "unfamiliar")


@dataclass(frozen=True)
class External:
    """The classifier's predictions for one set of at least one image.

    Attributes:
        labels: [N] class names, or 'tumor' and 'no_tumor' if the set has no tumour types.
        patients: [N] number of each image's patient; an image of unknown patient has a number of its own.
        known: [N] bool, whether the patient is known.
        probabilities: [N, K]; calibrated, except those of an ablation's arms.
        classes: K names, including 'no_tumor'.
        unsure, unfamiliar: [N] bool, the packaged classifier's flags; None for an arm, which has none.
    """

    labels: np.ndarray
    patients: np.ndarray
    known: np.ndarray
    probabilities: np.ndarray
    classes: tuple[str, ...]
    unsure: np.ndarray | None = None
    unfamiliar: np.ndarray | None = None

    @property
    def tumor(self) -> np.ndarray:
        """[N] bool, whether there is a tumour."""
        return self.labels != NONE

    @property
    def said(self) -> np.ndarray:
        """[N] names of the most probable classes; the first one wins a tie."""
        return np.array(self.classes)[self.probabilities.argmax(axis=1)]

    @property
    def suspicion(self) -> np.ndarray:
        """[N] scores that rank images like 1 - p(no tumour), but without ties where p is below 1e-16."""
        return -self.probabilities[:, self.classes.index(NONE)]


def read_external(path: Path) -> External | None:
    """Reads a table from `btlib.app.predict.external`; None if it has no rows, as for a set that was skipped.

    Raises:
        InputError: the table is missing or lacks columns.
    """
    table = read_csv(path, text=("path", "label", "patient"))
    if table.empty:
        return None
    missing = [name for name in (*COLUMNS, f"p_{NONE}") if name not in table.columns]
    if missing:
        raise InputError(f"{path}: missing columns {missing}; run `dvc repro predict_external`")
    return external_of(table)


def external_of(table: pd.DataFrame) -> External:
    """Converts a table that has rows, and all columns except, for an arm, those of the flags."""
    classes = [name.removeprefix("p_") for name in table.columns if name.startswith("p_")]
    known = (table["patient"] != "").to_numpy()
    own = pd.Series([f"image {row}" for row in range(len(table))], index=table.index)
    names = ("patient " + table["patient"]).where(known, own)
    return External(
        labels=table["label"].to_numpy(dtype=str),
        patients=pd.factorize(names)[0],
        known=known,
        probabilities=table[[f"p_{name}" for name in classes]].to_numpy(dtype=np.float64),
        classes=tuple(classes),
        **{name: table[name].to_numpy(dtype=bool) for name in OF_DOUBT if name in table.columns},
    )


def external_scores(answers: External, resamples: int, rng: np.random.Generator) -> dict:
    """Scores of one set with 95 % intervals over its patients.

    A patient's images are drawn together, and patients are stratified by the labels of their images, so that a score
    that is defined for the set is defined for every resample.

    Returns:
        n, n_tumour, n_none (images); patients (known ones) and patients_with_both (with images of both kinds);
        sensitivity and specificity of "any tumour" by the most probable class; auc; auc_within_patients, the mean of
        the patients' own AUC, ties counting one half; accuracy and macro_f1 over the classes of the set; shares unsure
        and unfamiliar; ci95: score -> [low, high]; undefined: score -> the reason that it and its interval are null.
        The interval of auc_within_patients is also null with a single such patient.
    """
    undefined = undefined_scores(answers)
    names = [name for name in METRICS if name not in undefined]
    estimates = weighted(answers, np.ones((1, len(answers.labels))), names)
    ci95 = bootstrap_ci95(
        lambda weights: weighted(answers, weights, names), strata_of(answers), resamples, rng, answers.patients
    )
    with_both = len(patient_aucs(answers)[0])
    if with_both == 1:
        del ci95[WITHIN]  # it would have no width, which looks like certainty
    return {
        "n": len(answers.labels),
        "n_tumour": int(answers.tumor.sum()),
        "n_none": int((~answers.tumor).sum()),
        "patients": len(set(answers.patients[answers.known])),
        "patients_with_both": with_both,
        **{name: float(estimates[name][0]) if name in estimates else None for name in METRICS},
        "ci95": {name: ci95.get(name) for name in METRICS},
        "undefined": undefined,
    }


def undefined_scores(answers: External) -> dict[str, str]:
    """Scores that are undefined for this set -> the reason."""
    reasons = {}
    if not answers.tumor.any():
        reasons |= dict.fromkeys(("sensitivity", "auc", WITHIN), "the set has no image with a tumour")
    elif answers.tumor.all():
        reasons |= dict.fromkeys(("specificity", "auc", WITHIN), "the set has no image without tumour")
    elif not answers.known.any():
        reasons[WITHIN] = "no image's patient is known"
    elif not len(patient_aucs(answers)[0]):
        reasons[WITHIN] = "no patient has images both with and without tumour"
    reason = _why_no_classes(answers)
    return reasons | (dict.fromkeys(OF_CLASSES, reason) if reason else {})


def patient_aucs(answers: External) -> tuple[np.ndarray, np.ndarray]:
    """The AUC of each patient who has images with and without tumour, from that patient's images alone.

    Returns:
        [P] AUC and [P] row of one of the patient's images; P may be 0.
    """
    aucs, rows = [], []
    for _, own in pd.Series(range(len(answers.labels))).groupby(answers.patients):
        tumor = answers.tumor[own]
        with_tumor, without = int(tumor.sum()), int((~tumor).sum())
        if with_tumor and without:
            ranks = rankdata(answers.suspicion[own])[tumor]  # ties share their mean rank
            aucs.append((ranks.sum() - with_tumor * (with_tumor + 1) / 2) / (with_tumor * without))
            rows.append(own.iloc[0])
    return np.array(aucs, dtype=float), np.array(rows, dtype=int)


def _why_no_classes(answers: External) -> str:
    """The reason that the classes cannot be scored, or ''."""
    present = sorted(set(answers.labels))
    strangers = [name for name in present if name not in answers.classes]
    if TUMOR in strangers:
        return "the set does not say which tumour it is"
    if strangers:
        return f"the classifier has no class '{strangers[0]}'"
    return "" if len(present) > 1 else "the set has only one class"


def strata_of(answers: External) -> np.ndarray:
    """[N] stratum of each image: all the labels of its patient's images, joined."""
    labels = pd.Series(answers.labels)
    return labels.groupby(answers.patients).transform(lambda own: " ".join(sorted(set(own)))).to_numpy(dtype=str)


def weighted(answers: External, weights: np.ndarray, names: Iterable[str]) -> dict[str, np.ndarray]:
    """The metrics of these names, each [B], with row n counted weights[b, n] times."""
    return {name: METRICS[name].function(answers, weights) for name in names}


def _share(hits: np.ndarray, among: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """[B] weighted share of `hits` among the rows `among`, both [N] bool."""
    return weights @ (among & hits) / (weights @ among)


def sensitivity(answers: External, weights: np.ndarray) -> np.ndarray:
    return _share(answers.said != NONE, answers.tumor, weights)


def specificity(answers: External, weights: np.ndarray) -> np.ndarray:
    return _share(answers.said == NONE, ~answers.tumor, weights)


def auc(answers: External, weights: np.ndarray) -> np.ndarray:
    return ranking_scores(answers.tumor, answers.suspicion, weights)[0]


def auc_within_patients(answers: External, weights: np.ndarray) -> np.ndarray:
    aucs, rows = patient_aucs(answers)
    return weighted_mean(aucs, weights[:, rows])


def accuracy(answers: External, weights: np.ndarray) -> np.ndarray:
    return weighted_mean(answers.said == answers.labels, weights)


def macro_f1(answers: External, weights: np.ndarray) -> np.ndarray:
    """Over the classes of the set."""
    each = [_f1(answers.labels == k, answers.said == k, weights) for k in sorted(set(answers.labels))]
    return np.mean(each, axis=0)


def unsure(answers: External, weights: np.ndarray) -> np.ndarray:
    return weighted_mean(answers.unsure, weights)


def unfamiliar(answers: External, weights: np.ndarray) -> np.ndarray:
    return weighted_mean(answers.unfamiliar, weights)


def _f1(true: np.ndarray, said: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """[B] F1 of one class that has images."""
    return 2 * (weights @ (true & said)) / (weights @ true + weights @ said)


METRICS = registry(
    (
        Metric("sensitivity", sensitivity, "sensitivity", "any tumour, by the most probable class", "", 1, "%"),
        Metric("specificity", specificity, "specificity", "no tumour, by the most probable class", "", 1, "%"),
        Metric("auc", auc, "AUC", "Hanley and McNeil 1982"),
        Metric(
            WITHIN,
            auc_within_patients,
            "AUC within patients",
            "mean over patients of the AUC among their own images, ties counting one half",
        ),
        Metric("accuracy", accuracy, "accuracy", "over the classes of the set", "", 2, "%"),
        Metric("macro_f1", macro_f1, "macro F1", "over the classes of the set"),
        Metric("unsure", unsure, "unsure", "share of answers", "", 0, "%", higher_is_better=False),
        Metric("unfamiliar", unfamiliar, "unfamiliar", "share of images", "", 0, "%", higher_is_better=False),
    )
)
