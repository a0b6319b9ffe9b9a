"""Leak-free results beside the paper's protocol: recorded runs on real images, which are other runs than this one."""

from collections.abc import Mapping, Sequence

from btlib.report.blocks import Block, Section, Table, Text
from btlib.report.scores import ACCURACY, SCORES, SHARE, count
from btlib.report.study import Study

BADGE = "real images, other runs"
OTHERS = ("macro_f1", "roc_auc_macro", "ece", "kappa", "mcc")
PAPER_SPLIT, PAPER_PIXELS = "image", 224


def recorded_section(study: Study) -> Section:
    paper = study.paper["headline"]
    runs = sorted(study.recorded, key=lambda run: (run["profile"], run["split_by"] != PAPER_SPLIT))
    blocks: list[Block] = [
        Text(
            "These are not this run. They are recorded runs of this pipeline on real images, kept in docs/runs/, so "
            "that the paper's protocol (split by image) and the leak-free split (by group) stand side by side. What "
            "this run's own data would leak under each split is in the data audit."
        )
    ]
    if runs:
        blocks += [Text(gap_words(runs)), accuracy_table(runs, paper), score_table(runs, paper), _making(runs)]
    else:
        blocks.append(Text("No run is recorded here."))
    return Section("protocol", "Leak-free, beside the paper's protocol", blocks)


def gap_words(runs: Sequence[Mapping]) -> str:
    """What the split alone does: recipes that were run both ways."""
    by_recipe: dict[str, dict[str, float]] = {}
    for run in runs:
        by_recipe.setdefault(run["title"], {})[run["split_by"]] = run["scores"]["accuracy"]
    sentences = [
        f"{title}: {ACCURACY.said(found['image'])} split by image, {ACCURACY.said(found['group'])} split by group "
        f"({ACCURACY.signed(found['group'] - found['image'])} points)."
        for title, found in by_recipe.items()
        if {"image", "group"} <= found.keys()
    ]
    return " ".join(["Accuracy on the same data.", *sentences, "One seed each, on different test images."])


def accuracy_table(runs: Sequence[Mapping], paper: Mapping[str, float]) -> Table:
    rows = [("the paper", PAPER_SPLIT, str(PAPER_PIXELS), "not reported", "", ACCURACY.said(paper["accuracy"]), "")]
    for run in runs:
        accuracy, ends = run["scores"]["accuracy"], run["ci95"]["accuracy"]
        rows.append(
            (
                run["title"],
                run["split_by"],
                str(run["image_size"]),
                SHARE.said(run["contamination"]["any_orientation"]),
                f"{count(run['errors'])} of {count(run['n_test'])}",
                ACCURACY.estimate(accuracy, ends),
                ACCURACY.difference(accuracy, paper["accuracy"], ends),
            )
        )
    columns = (
        "run",
        "split by",
        "pixels",
        "test images with a copy in train",
        "errors",
        "accuracy [95 %]",
        "minus the paper [95 %], points",
    )
    leak_free = frozenset(number for number, row in enumerate(rows) if row[1] == "group")
    note = "Leak-free runs are marked. Copies in any orientation."
    return Table("Accuracy, recorded runs", columns, rows, note, leak_free, badge=BADGE)


def score_table(runs: Sequence[Mapping], paper: Mapping[str, float]) -> Table:
    """Under each score: the difference from the paper with its interval."""
    rows = [("the paper", PAPER_SPLIT, *(SCORES[name].said(paper[name]) for name in OTHERS))]
    for run in runs:
        cells = []
        for name in OTHERS:
            value, ends = run["scores"][name], run["ci95"][name]
            difference = SCORES[name].difference(value, paper[name], ends)
            cells.append(f"{SCORES[name].estimate(value, ends)}\n{difference}")
        rows.append((run["title"], run["split_by"], *cells))
    note = "Below each score: minus the paper, with the run's own interval."
    columns = ("run", "split by", *(SCORES[name].name for name in OTHERS))
    return Table("Other scores, recorded runs", columns, rows, note, badge=BADGE)


def _making(runs: Sequence[Mapping]) -> Table:
    rows = [
        (run["title"], run["split_by"], run["data"], run["command"], run["device"], run["date"], run["note"])
        for run in runs
    ]
    columns = ("run", "split by", "data", "command", "device", "date", "note")
    return Table("How the recorded runs were made", columns, rows, folded=True, words=True, badge=BADGE)
