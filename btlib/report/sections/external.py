"""The classifier on images from other hospitals: does it still read the lesion?"""

from collections.abc import Mapping, Sequence

from btlib.images.evaluation import external
from btlib.images.evaluation.external import WITHIN
from btlib.report.blocks import Bullets, Section, Table, Text
from btlib.report.figures.numbers import GLUE, NOTHING, Score, count, spoken
from btlib.report.scores import EXTERNAL_SCORES
from btlib.report.study import Study

CLASSES = {name: EXTERNAL_SCORES[name] for name in external.OF_CLASSES}
TUMOR_OR_NONE = {name: EXTERNAL_SCORES[name] for name in external.TUMOR_OR_NONE}
DOUBTS = {name: EXTERNAL_SCORES[name] for name in external.OF_DOUBT}
AREA = EXTERNAL_SCORES[WITHIN]
REST = {name: TUMOR_OR_NONE[name] for name in ("auc", "sensitivity", "specificity")}
FEW = 6  # with fewer patients, even if all have an AUC above 0.5, a two-sided sign test gives p > 0.05: 2 · 0.5⁵ = 0.06
TOO_FEW, ABOVE, BELOW, NEITHER = "too few patients", "above chance", "below chance", "not distinguishable from chance"
MEANING = {
    ABOVE: "among a patient's own slices, the classifier ranks those with the tumour higher on average",
    BELOW: "among a patient's own slices, the classifier ranks those without the tumour higher on average",
    NEITHER: "there is no evidence that the classifier reads the lesion here",
}
NOTE = (
    "None of these images was used in training. Sensitivity and specificity: any tumour against none, by the most "
    "probable class. AUC within patients: the AUC among a patient's own slices, averaged over patients who have slices "
    "with and without tumour. It cannot come from scanner, framing or head, which are the same in all of a patient's "
    "slices, but it can come from a slice's position in the head. 95 % intervals over patients."
)
ARMS_NOTE = (
    "Networks of the ablation table “Lesion head”, at the settings of `ablations` in params.yaml: means over seeds, "
    "probabilities not calibrated. Difference: AUC within patients, the arm minus the proposed model; below 0, what "
    "the arm lacks helps. 95 % intervals over patients, who are resampled alike for all arms and seeds."
)
HOW = (
    "No set from another hospital was tested. To add one, list it under `external` in params.yaml with its name, image "
    "folder and layout."
)


def external_section(study: Study) -> Section:
    """A verdict on each set from its AUC within patients, the scores, and the figures."""
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
        *(arm_table(name, scores["arms"]) for name, scores in sets.items() if "arms" in scores),
        *study.figures("external", captions),
    ]
    return Section("external", title, blocks, study.notes["images"])


def verdict(scores: Mapping) -> str:
    """Whether the AUC within patients is above chance, in words."""
    value, ends, patients = scores[WITHIN], scores["ci95"][WITHIN], scores["patients_with_both"]
    if value is None:
        return f"the AUC within patients is undefined: {scores['undefined'][WITHIN]}."
    among = f"the AUC within patients is {AREA.estimate(value, ends)}"
    found = against_chance(ends, patients)
    if found == TOO_FEW:
        who = "1 patient has" if patients == 1 else f"only {patients} patients have"
        return f"{among}, but {who} slices of both kinds: too few for a comparison with chance."
    return f"{among}, {found}: {MEANING[found]} ({count(patients)} patients)."


def against_chance(ends: Sequence[float] | None, patients: int) -> str:
    """TOO_FEW, ABOVE, BELOW or NEITHER, from the interval of the AUC within patients and the number of patients."""
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
    return Table("The packaged classifier on sets from other hospitals", columns, rows, " ".join([NOTE, *undefined]))


def class_tables(sets: Mapping[str, Mapping]) -> list[Table]:
    """The sets that label the tumour type; empty without one."""
    rows = [
        (spoken(name), *(_estimate(score, scores, key) for key, score in CLASSES.items()))
        for name, scores in sets.items()
        if scores["accuracy"] is not None
    ]
    note = "Macro F1 is the mean over the classes that the set has."
    columns = ("set", *(score.name for score in CLASSES.values()))
    return [Table("Tumour type", columns, rows, note)] if rows else []


def arm_table(name: str, arms: Sequence[Mapping]) -> Table:
    """A row for each arm of the lesion table on the set `name`, the proposed one first."""
    rows = [
        (
            spoken(row["arm"]),
            count(len(row["seeds"])),
            _estimate(AREA, row, WITHIN),
            _difference(row["difference"]),
            *(score.said(row[key]) for key, score in REST.items()),
        )
        for row in arms
    ]
    columns = ("arm", "seeds", AREA.name, "difference [95 %]", *(score.name for score in REST.values()))
    return Table(f"What each part of the lesion head gains on {spoken(name)}", columns, rows, ARMS_NOTE)


def _estimate(score: Score, scores: Mapping, key: str) -> str:
    return score.estimate(scores[key], scores["ci95"][key])


def _difference(found: Mapping | None) -> str:
    return AREA.signed(found["value"], found["ci95"]) if found else NOTHING


def _worst(name: str) -> tuple[str, str]:
    return (
        f"{spoken(name)}: the most confident misses and false alarms, with Grad-CAM of the predicted class; a line "
        "marks the lesion if there is a mask.",
        f"Slices of {spoken(name)} with wrong answers, and heat maps over them",
    )
