"""The classifier on images of other hospitals: is the lesion read there, too?"""

from collections.abc import Mapping, Sequence

from btlib.images.evaluation import external
from btlib.images.evaluation.external import WITHIN
from btlib.report.blocks import Bullets, Section, Table, Text
from btlib.report.scores import EXTERNAL_SCORES, GLUE, NOTHING, Score, count, spoken
from btlib.report.study import Study

CLASSES = {name: EXTERNAL_SCORES[name] for name in external.OF_CLASSES}
TUMOR_OR_NONE = {name: EXTERNAL_SCORES[name] for name in external.TUMOR_OR_NONE}
DOUBTS = {name: EXTERNAL_SCORES[name] for name in external.OF_DOUBT}
AREA = EXTERNAL_SCORES[WITHIN]
FEW = 6  # of fewer patients, all with an AUC above 0.5, a two-sided sign test says p > 0.05: 2 · 0.5⁵ = 0.06
TOO_FEW, ABOVE, BELOW, NEITHER = "too few patients", "above chance", "below chance", "not told from chance"
MEANING = {
    ABOVE: "of a patient's own slices, those with the tumour look more like one to the classifier, on average",
    BELOW: "of a patient's own slices, those without the tumour look more like one to the classifier, on average",
    NEITHER: "nothing shows that the classifier reads the lesion here",
}
NOTE = (
    "Nothing was trained on these images. Sensitivity and specificity: some tumour against none, at the most probable "
    "class. AUC within patients: the mean over patients who have slices with and without tumour of the AUC among "
    "their own slices. It cannot be had from scanner, framing or head, which are the same in all of a patient's "
    "slices; their height in the head is not. 95 % intervals over patients."
)
HOW = (
    "No set of another hospital was tried. To add one, list it under `external` in params.yaml: a name, the folder of "
    "its images, and how they are laid out."
)


def external_section(study: Study) -> Section:
    """The sets, what the AUC within patients says of each, and the figures."""
    sets = study.scores("external")["sets"]
    title = "Other hospitals"
    if not sets:
        return Section("external", title, [Text(HOW)], study.notes["images"])
    captions = {
        "external.png": (
            "ROC curve of each set over all images, and the AUC of every patient who has slices with and without "
            "tumour, sorted: the line is their mean, the band its 95 % interval.",
            "ROC curves, and a dot for each patient's own AUC",
        ),
        **{f"{name}_worst.png": _worst(name) for name in sets},
    }
    blocks = [
        Bullets([f"{spoken(name)}: {verdict(scores)}" for name, scores in sets.items()]),
        set_table(sets),
        *class_tables(sets),
        *study.figures("external", captions),
    ]
    return Section("external", title, blocks, study.notes["images"])


def verdict(scores: Mapping) -> str:
    """Is the AUC within patients above chance?"""
    value, ends, patients = scores[WITHIN], scores["ci95"][WITHIN], scores["patients_with_both"]
    if value is None:
        return f"the AUC within patients is undefined: {scores['undefined'][WITHIN]}."
    among = f"the AUC within patients is {AREA.estimate(value, ends)}"
    found = against_chance(ends, patients)
    if found == TOO_FEW:
        who = "1 patient has" if patients == 1 else f"only {patients} patients have"
        return f"{among}, but {who} slices of both kinds: too few to tell it from chance."
    return f"{among}, {found}: {MEANING[found]} ({count(patients)} patients)."


def against_chance(ends: Sequence[float] | None, patients: int) -> str:
    """One of TOO_FEW, ABOVE, BELOW and NEITHER: what an interval of the AUC within so many patients says."""
    if ends is None or patients < FEW:
        return TOO_FEW
    low, high = ends
    return ABOVE if low > 0.5 else BELOW if high < 0.5 else NEITHER


def set_table(sets: Mapping[str, Mapping]) -> Table:
    """A row for each set."""
    rows = [
        (
            spoken(name),
            f"{count(scores['n_tumour'])}{GLUE}+{GLUE}{count(scores['n_none'])}",
            count(scores["patients"]) if scores["patients"] else NOTHING,
            *(_estimate(score, scores, key) for key, score in TUMOR_OR_NONE.items()),
            *(score.said(scores[key]) for key, score in DOUBTS.items()),
        )
        for name, scores in sets.items()
    ]
    shown = [score.name for score in (*TUMOR_OR_NONE.values(), *DOUBTS.values())]
    columns = ("set", "images with + without tumour", "patients", *shown)
    undefined = [
        f"{spoken(name)}, {TUMOR_OR_NONE[key].name}: {reason}."
        for name, scores in sets.items()
        for key, reason in scores["undefined"].items()
        if key in TUMOR_OR_NONE
    ]
    return Table("The packaged classifier on sets of other hospitals", columns, rows, " ".join([NOTE, *undefined]))


def class_tables(sets: Mapping[str, Mapping]) -> list[Table]:
    """The sets that say which tumour it is; nothing without one."""
    rows = [
        (spoken(name), *(_estimate(score, scores, key) for key, score in CLASSES.items()))
        for name, scores in sets.items()
        if scores["accuracy"] is not None
    ]
    note = "Macro F1 is the mean over the classes that the set has."
    columns = ("set", *(score.name for score in CLASSES.values()))
    return [Table("Which tumour", columns, rows, note)] if rows else []


def _estimate(score: Score, scores: Mapping, key: str) -> str:
    return score.estimate(scores[key], scores["ci95"][key])


def _worst(name: str) -> tuple[str, str]:
    return (
        f"{spoken(name)}: tumours missed most surely and the surest false alarms, with Grad-CAM of the answer; a line "
        "marks the lesion where a mask is known.",
        f"Slices of {spoken(name)} with wrong answers, and heat maps over them",
    )
