"""The classifier: its settings, its scores and its figures beside the paper's (Tables 3 and 7, Figures 4, 5, 8–12)."""

from collections.abc import Mapping
from typing import Any

from btlib.core.metrics.classification import METRICS
from btlib.report.blocks import Heading, Section, Table, Text
from btlib.report.figures.classification import CLASS_SCORES
from btlib.report.figures.numbers import GLUE, Score, count, spoken
from btlib.report.figures.paper import PER_CLASS, SETTINGS, SETTINGS_IN_TEXT
from btlib.report.scores import ACCURACY, SCORES
from btlib.report.sections.run import written
from btlib.report.study import Study

HEADLINE = [name for name in SCORES if not METRICS[name].scaled]  # scaled ones are under “Calibration”
TRAINING = {
    "fig4_augmented_views.png": ("Augmented views (the paper's Figure 4).", "One slice under random augmentation"),
    "fig5_mixup.png": ("Mixup (the paper's Figure 5).", "Pairs of slices and their mixtures"),
}
CURVES = {
    "fig8_stage1.png": (
        "Training curves of stage 1 (the paper's Figure 8).",
        "Loss and accuracy over the epochs of stage 1",
    ),
    "fig9_stage2.png": (
        "Training curves of stage 2 (the paper's Figure 9).",
        "Loss and accuracy over the epochs of stage 2",
    ),
}
RESULTS = {
    "classification.png": (
        "Scores of each class and confusion matrix (the paper's Figure 10).",
        "Table of precision, recall and F1 of each class beside the confusion matrix",
    ),
}
RANKING = {
    "roc.png": ("ROC curves, one class against the rest (the paper's Figure 11a).", "ROC curve of each class"),
    "precision_recall.png": (
        "Precision and recall, one class against the rest (the paper's Figure 11b).",
        "Precision-recall curve of each class",
    ),
}
ANSWERS = {
    "predictions.png": (
        "Predictions with their confidence, errors first (the paper's Figure 12).",
        "Test slices with the predicted class and its probability",
    ),
}


def classification_section(study: Study) -> Section:
    found = study.scores("classification")
    blocks = [
        Heading("Settings"),
        settings_table(study.params),
        Heading("Scores"),
        Text(_hint(study)),
        headline_table(found, study.paper["headline"]),
        class_table(found["per_class"]),
        Heading("Figures"),
        *study.figures("train", TRAINING, columns=2),
        *study.figures("train", CURVES),
        *study.figures("evaluate", RESULTS),
        *study.figures("evaluate", RANKING, columns=2),
        *study.figures("evaluate", ANSWERS),
    ]
    return Section("classification", "Classification", blocks, study.notes["images"])


def settings_table(params: Mapping[str, Any]) -> Table:
    """Settings in Table 3 and the text of the paper, beside this run's values; differences are marked."""
    keys = [*SETTINGS, *SETTINGS_IN_TEXT]
    paper = SETTINGS | SETTINGS_IN_TEXT
    rows = [
        (
            key,
            written(paper[key]),
            written(params[key]),
            "same" if params[key] == paper[key] else "differs",
            "Table 3" if key in SETTINGS else "text",
        )
        for key in keys
    ]
    marked = frozenset(number for number, row in enumerate(rows) if row[3] == "differs")
    return Table(
        f"Table 3: settings, {len(marked)} of {len(rows)} differ from the paper's",
        ("key of params.yaml", "paper", "this run", "", "given in"),
        rows,
        marked=marked,
        words=True,
    )


def headline_table(found: Mapping, paper: Mapping[str, float]) -> Table:
    """The scores of sections 5.4 to 5.7 and Table 7."""
    rows = []
    for name in HEADLINE:
        score, ends = SCORES[name], found["ci95"].get(name)  # None for a metric added after the run
        rows.append(
            (
                f"{score.name} {'↑' if METRICS[name].higher_is_better else '↓'}",
                score.said(found.get(name)),
                score.interval(ends),
                score.said(paper.get(name)),
                score.difference(found.get(name), paper.get(name), ends),
            )
        )
    exact = ACCURACY.interval(found["accuracy_ci95_exact"])
    note = (
        f"{count(found['errors'])} of {count(found['n_test'])} test images wrong. The bootstrap draws images in "
        f"{count(found['n_groups'])} groups. Exact binomial interval of the accuracy: {exact}. "
        "↑: higher is better; ↓: lower is better. The difference is this run minus the paper; its interval is this "
        "run's, since the paper gives none."
    )
    columns = ("score", "this run", "95 % interval", "paper", "difference [95 %]")
    return Table("Headline scores and Table 7 (kappa, MCC, ECE)", columns, rows, note)


def class_table(per_class: Mapping[str, Mapping[str, float]]) -> Table:
    """Figure 10a and the areas of Figure 11, class by class; the paper's value and the difference are below ours."""
    rows = []
    for label, found in per_class.items():
        paper = PER_CLASS.get(label, {})
        cells = [_beside(score, found[name], paper.get(name)) for name, score in CLASS_SCORES.items()]
        rows.append((spoken(label), count(found["support"]), *cells))
    return Table(
        "Each class against the rest (Figures 10a and 11)",
        ("class", "test images", *(score.name for score in CLASS_SCORES.values())),
        rows,
        note="Below: the paper's value if its text gives one, and this run minus the paper.",
    )


def _beside(score: Score, ours: float, paper: float | None) -> str:
    if paper is None:
        return score.said(ours)
    return f"{score.said(ours)}\npaper{GLUE}{score.said(paper)}\n{score.difference(ours, paper)}"


def _hint(study: Study) -> str:
    words = "The paper's numbers come from one run on its own split by image; it gives neither seeds nor intervals. "
    if study.params["split.folds"] > 1:
        words += (
            f"These scores are for fold {study.params['split.fold']} of {study.params['split.folds']}, which tests the "
            "main model; all folds are under “Cross-validation”. "
        )
    if study.notes["images"]:
        return words + "This run is on phantoms, so a difference from the paper says nothing about the method."
    return words + "A difference may come from data and settings as much as from the method."
