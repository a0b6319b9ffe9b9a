"""Recorded runs on real images (not this run), on their rungs, beside the paper's protocol."""

from collections.abc import Mapping, Sequence

from btlib.core.metrics.classification import METRICS
from btlib.core.metrics.metric import Shown, names
from btlib.images.data.separation import IMAGE, PATIENT, RUNGS
from btlib.report.blocks import Block, Section, Table, Text
from btlib.report.figures.numbers import NOTHING, SHARE, count, spoken
from btlib.report.ladder import rung_of, rung_words
from btlib.report.scores import ACCURACY, SCORES
from btlib.report.sections.external import TUMOR_OR_NONE
from btlib.report.sections.gradcam import MEASURES
from btlib.report.study import Study

BADGE = "real images, other runs"
OTHERS = [name for name in names(METRICS.values(), Shown.SUMMARY) if name != "accuracy"]
PAPER_PIXELS = 224
ORDER = (*RUNGS, None)


def recorded_section(study: Study) -> Section:
    about = Text(
        "These are not this run, but recorded runs of this pipeline on real images, kept in docs/runs/ and sorted by "
        "what their split kept apart; the ladder at the top is drawn from them. The data audit shows what this run's "
        "own data would leak under each split."
    )
    blocks = recorded_blocks(study.recorded, study.paper["headline"]) or [Text("There are no recorded runs.")]
    return Section("recorded", "Recorded runs on real images", [about, *blocks])


def recorded_blocks(recorded: Sequence[Mapping], paper: Mapping[str, float]) -> list[Block]:
    """The tables of recorded runs beside the paper's headline scores; none without runs."""
    runs = sorted(recorded, key=lambda run: (ORDER.index(rung_of(run)), run["profile"], run["date"]))
    if not runs:
        return []
    return [
        accuracy_table(runs, paper),
        score_table(runs, paper),
        *external_tables(runs),
        *heat_tables(runs),
        _making(runs),
    ]


def accuracy_table(runs: Sequence[Mapping], paper: Mapping[str, float]) -> Table:
    said = ACCURACY.said(paper["accuracy"])
    rows = [("the paper", RUNGS[IMAGE], str(PAPER_PIXELS), "not reported", "", said, "", "")]
    for run in runs:
        accuracy, ends, known = run["scores"]["accuracy"], run["ci95"]["accuracy"], run.get("known_patients")
        rows.append(
            (
                run["title"],
                rung_words(run),
                str(run["image_size"]),
                SHARE.said(run["contamination"]["any_orientation"]),
                f"{count(run['errors'])} of {count(run['n_test'])}",
                ACCURACY.estimate(accuracy, ends),
                ACCURACY.difference(accuracy, paper["accuracy"], ends),
                ACCURACY.estimate(known["accuracy"], known["ci95"]["accuracy"]) if known else NOTHING,
            )
        )
    columns = (
        "run",
        "split",
        "pixels",
        "test images with a near copy in train",
        "errors",
        "accuracy [95 %]",
        "difference from the paper [95 %], points",
        "accuracy, images of known patients",
    )
    marked = frozenset(number for number, run in enumerate(runs, start=1) if rung_of(run) == PATIENT)
    note = "Marked: no known patient on both sides. Near copies count in any orientation."
    folds = sorted({run["folds"] for run in runs if run.get("folds")})
    if folds:
        note += f" Their errors are pooled over all test folds ({' or '.join(map(str, folds))} folds)."
    return Table("Accuracy, recorded runs", columns, rows, note, marked, badge=BADGE)


def score_table(runs: Sequence[Mapping], paper: Mapping[str, float]) -> Table:
    """Every other score, with the difference from the paper and its interval below."""
    rows = [("the paper", RUNGS[IMAGE], *(SCORES[name].said(paper.get(name)) for name in OTHERS))]
    for run in runs:
        cells = []
        for name in OTHERS:
            value, ends = run["scores"].get(name), run["ci95"].get(name)
            difference = SCORES[name].difference(value, paper.get(name), ends)
            cells.append(f"{SCORES[name].estimate(value, ends)}\n{difference}")
        rows.append((run["title"], rung_words(run), *cells))
    note = "Below each score: the difference from the paper, with the run's own interval."
    columns = ("run", "split", *(SCORES[name].name for name in OTHERS))
    return Table("Other scores, recorded runs", columns, rows, note, badge=BADGE)


def external_tables(runs: Sequence[Mapping]) -> list[Table]:
    """Sets from other hospitals, run by run; empty if none was tested."""
    rows = [
        (
            run["title"],
            spoken(name),
            count(scores["n"]),
            count(scores["patients"]),
            *(score.estimate(scores[key], scores["ci95"].get(key)) for key, score in TUMOR_OR_NONE.items()),
        )
        for run in runs
        for name, scores in (run.get("external") or {}).items()
    ]
    columns = ("run", "set", "images", "patients", *(score.name for score in TUMOR_OR_NONE.values()))
    note = "None of these slices was used in training; any tumour against none. 95 % intervals over patients."
    return [Table("Other hospitals, recorded runs", columns, rows, note, badge=BADGE)] if rows else []


def heat_tables(runs: Sequence[Mapping]) -> list[Table]:
    """Grad-CAM against lesion masks, run by run; empty if none was measured."""
    rows = [
        (
            run["title"],
            spoken(heat["map"]),
            count(heat["n"]),
            *(measure.estimate(heat[key], heat["ci95"].get(key)) for key, measure in MEASURES.items()),
        )
        for run in runs
        if (heat := run.get("gradcam"))
    ]
    columns = ("run", "map", "n", *(measure.name for measure in MEASURES.values()))
    note = "In a uniform map, the lesion's share of the heat is its share of the area. 95 % intervals."
    return [Table("Heat against lesion masks, recorded runs", columns, rows, note, badge=BADGE)] if rows else []


def _making(runs: Sequence[Mapping]) -> Table:
    rows = [
        (run["title"], rung_words(run), run["data"], run["command"], run["device"], run["date"], run["note"])
        for run in runs
    ]
    columns = ("run", "split", "data", "command", "device", "date", "note")
    return Table("How the recorded runs were made", columns, rows, folded=True, words=True, badge=BADGE)
