"""Shortcuts: does the classifier use the lesion or its context?"""

from collections.abc import Mapping

from btlib.images.evaluation.shortcuts import READING
from btlib.report.blocks import Bullets, Section, Table
from btlib.report.figures.numbers import NOTHING, PERCENT, Score, count, spoken
from btlib.report.figures.wording import named_lines
from btlib.report.study import Study

SHARE = Score("share", 1, 100.0, PERCENT)
AREA = Score("AUC")
FIGURE = {"shortcuts.png": ("Views without the lesion, pasted lesions, contrasts.", "Bars of the tables above")}
EXAMPLES = {"": ("Examples of views and pasted lesions.", "Slices with parts blacked out and lesions pasted in")}
MATCHED = {
    "grey_level_auc": ("tumour or none by grey levels alone (AUC)", AREA),
    "tumor_or_none": ("the classifier: tumour or none", SHARE),
    "class": ("the classifier: class", SHARE),
}


def shortcuts_section(study: Study) -> Section:
    found = study.scores("shortcuts")
    tables = [
        _views(found["views"]),
        *([_pasted(found["pasted"])] if found["pasted"] else []),
        *([_matched(found["matched"])] if found["matched"] else []),
        *([_contrasts(found["contrasts"])] if found["contrasts"] else []),
    ]
    blocks = [
        *tables,
        *study.figures("shortcuts", FIGURE),
        *study.figures("lesions", EXAMPLES),
        Bullets([line.replace("`", "") for line in named_lines(READING)], "How to read these numbers"),
    ]
    return Section("shortcuts", "Shortcuts", blocks, study.notes["images"])


def _views(views: Mapping[str, Mapping]) -> Table:
    first = next(iter(views.values()))
    rows = [
        (
            spoken(view),
            *(SHARE.estimate(seen[view]["accuracy"], seen[view]["ci95"]["accuracy"]) for seen in views.values()),
            SHARE.said(first[view]["chance"]),
        )
        for view in first
    ]
    note = "Accuracy. 'probe' was trained on that view alone, 'main' is this run's classifier."
    return Table("Accuracy from parts of the image", ("view", *views, "chance"), rows, note)


def _pasted(pasted: Mapping[str, Mapping]) -> Table:
    rows = [
        (
            {"none": "nothing", "control": "control, with the brain's grey level"}.get(name, name),
            count(part["n"]),
            SHARE.estimate(part["called_tumor"], part["ci95"]["called_tumor"]),
            SHARE.estimate(part["called_so"], part["ci95"]["called_so"]) if "called_so" in part else NOTHING,
        )
        for name, part in pasted.items()
    ]
    columns = ("pasted into an image without tumour", "n", "called a tumour", "called that class")
    return Table("Lesions pasted into healthy heads", columns, rows)


def _matched(matched: Mapping[str, Mapping]) -> Table:
    rows = []
    for key, (title, score) in MATCHED.items():
        cells = [
            score.estimate(part[key]["value"], part[key]["ci95"]) if part[key] else NOTHING for part in matched.values()
        ]
        rows.append((title, *cells))
    rows.append(("images", *(count(part["n"]) for part in matched.values())))
    columns = ("predictor", *({"all": "all test images", "matched": "matched by grey level"}[k] for k in matched))
    return Table("Images matched by grey level", columns, rows)


def _contrasts(contrasts: Mapping[str, Mapping]) -> Table:
    kinds = {"healthy": "healthy phantoms", "with_tumor": "phantoms with a tumour"}
    rows = [
        (kinds[kind], contrast, count(part["n"]), SHARE.estimate(part["called_tumor"], part["ci95"]))
        for kind, parts in contrasts.items()
        for contrast, part in parts.items()
    ]
    columns = ("slices", "contrast", "n", "called a tumour")
    return Table("Phantoms in every contrast", columns, rows, badge="phantom data")
