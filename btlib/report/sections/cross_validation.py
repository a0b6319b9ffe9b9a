"""Cross-validation: every image predicted by a network trained without its group; the folds, and all of them pooled."""

from collections.abc import Mapping

from btlib.images.data.separation import separation
from btlib.images.evaluation.cross_validation import OF_A_FOLD
from btlib.report.blocks import Section, Table, Text
from btlib.report.figures.numbers import NOTHING, count
from btlib.report.scores import ACCURACY, SCORES
from btlib.report.study import Study

HOW = (
    "No cross-validation was run: all scores are on one test set. To test on every image, set `split.folds: 5` in "
    "params.yaml and run `dvc repro cross_validate`, which trains the main model once for each fold."
)
FIGURES = {
    "folds.png": (
        "Accuracy of each fold; the band is the 95 % interval of all folds pooled.",
        "A dot for each fold's accuracy, and the pooled accuracy with its interval",
    ),
    "classification.png": (
        "Scores of each class and confusion matrix, all folds pooled.",
        "Table of precision, recall and F1 of each class beside the confusion matrix",
    ),
}


def cross_validation_section(study: Study) -> Section:
    found, title, note = study.scores("cross_validation"), "Cross-validation", study.notes["images"]
    if not found["folds"]:
        return Section("cross-validation", title, [Text(HOW)], note)
    kept = separation(study.scores("audit"), study.params["split_by"])
    blocks = [
        Text(f"Split by {study.params['split_by']} into {len(found['folds'])} folds ({kept}). {finding(found)}"),
        pooled_table(found),
        fold_table(found),
        *study.figures("cross_validation", FIGURES),
    ]
    return Section("cross-validation", title, blocks, note)


def finding(found: Mapping) -> str:
    """The pooled accuracy, and that on the images whose patient is known."""
    whole, known = found["pooled"], found["known_patients"]
    said = (
        f"{count(whole['errors'])} of {count(whole['n_test'])} images are wrong: accuracy "
        f"{ACCURACY.estimate(whole['accuracy'], whole['ci95']['accuracy'])}."
    )
    if not known:
        return f"{said} No image's patient is known, so patients may be on both sides of every fold."
    if known["images"] == whole["n_test"]:
        return f"{said} The patient of every image is known ({count(known['patients'])} patients)."
    return (
        f"{said} On the {count(known['images'])} images of {count(known['patients'])} known patients it is "
        f"{ACCURACY.estimate(known['accuracy'], known['ci95']['accuracy'])}; the patients of the others may also be in "
        "the training images."
    )


def pooled_table(found: Mapping) -> Table:
    """All folds together, each image predicted by the network of its own fold."""
    whole, known = found["pooled"], found["known_patients"]
    rows = [
        (score.name, score.said(whole[name]), score.interval(whole["ci95"][name]))
        for name, score in SCORES.items()
        if name in whole
    ]
    if known:
        title = f"accuracy, images of the {count(known['patients'])} known patients"
        rows.insert(1, (title, ACCURACY.said(known["accuracy"]), ACCURACY.interval(known["ci95"]["accuracy"])))
    note = (
        f"{count(whole['n_test'])} images in {count(whole['n_groups'])} groups, drawn together by the bootstrap. The "
        "intervals cover the choice of images, not of seeds."
    )
    return Table("All folds pooled", ("score", "value", "95 % interval"), rows, note)


def fold_table(found: Mapping) -> Table:
    """A row for each fold, and their mean with the standard deviation."""
    rows = [
        (
            f"fold {row['fold']}",
            count(row["n_test"]),
            count(row["n_patients"]) if row["n_patients"] else NOTHING,
            count(row["errors"]),
            *(SCORES[name].said(row.get(name)) for name in OF_A_FOLD),
            f"{row['temperature']:.3f}",
        )
        for row in found["folds"]
    ]
    spread = [SCORES[name].spread(found["mean"].get(name), found["sd"].get(name)) for name in OF_A_FOLD]
    rows.append(("mean ± sd", "", "", "", *spread, ""))
    columns = (
        "fold",
        "test images",
        "known patients",
        "errors",
        *(SCORES[name].name for name in OF_A_FOLD),
        "temperature",
    )
    note = "The standard deviation over folds mixes training noise with the difficulty of each fold's patients."
    return Table("Each fold", columns, rows, note, marked=frozenset({len(rows) - 1}))
