"""The headline: accuracy rung by rung, with less and less to memorise, and in other hospitals."""

from collections.abc import Mapping, Sequence

from btlib.images.data.separation import IMAGE, NEAR_COPY, PATIENT, RUNGS, rung, separation
from btlib.report.blocks import Block, Bullets, Figure, Figures, Heading, Section, Table, Text
from btlib.report.figures.numbers import NOTHING, Score, spoken
from btlib.report.ladder import KNOWN, STEPS, Climb, recorded_climbs, this_climb
from btlib.report.ladder_figure import ladder_figure
from btlib.report.pictures import drawn
from btlib.report.scores import ACCURACY
from btlib.report.sections.external import AREA, WITHIN, against_chance
from btlib.report.study import Study

BADGE = "real images, other runs"
SAID = {
    IMAGE: "by image",
    NEAR_COPY: "with near copies apart",
    PATIENT: "when no known patient is on both sides",
    KNOWN: "when only images of known patients count",
}
CAPTION = (
    "The ladder: accuracy of each recipe by what the split keeps apart, from the paper's protocol downwards, and its "
    "AUC within patients on slices from other hospitals, with 95 % intervals."
)
NOTE = (
    "95 % intervals are below the values. The rungs have different test images; one seed each. AUC within patients is "
    "for the network whose split keeps known patients apart; see “Other hospitals” for its definition."
)


def ladder_section(study: Study) -> Section:
    """The recorded recipes, then this run's place, with the label of its data."""
    paper, note = study.paper["headline"]["accuracy"], study.notes["images"]
    recorded, this = recorded_climbs(study.recorded), this_climb(study)
    blocks: list[Block] = [
        Text(
            "A test image is easy if the network was trained on a copy of it or on its patient. The first rung is the "
            f"paper's protocol, split by image ({ACCURACY.said(paper)} there); each further rung removes something "
            "that could be memorised. The last step leaves the data set: slices from other hospitals, none of which "
            "was used in training."
        )
    ]
    if recorded:
        blocks += [
            Bullets([sentence(climb) for climb in recorded]),
            ladder_table("The ladder, recorded runs on real images", recorded, BADGE, paper),
        ]
    else:
        blocks.append(Text("There are no recorded runs."))
    charted = [*recorded, *([] if note else [this])]  # phantoms are not compared with patients
    if any(step in STEPS for climb in charted for step in climb.steps):
        picture = drawn(ladder_figure(charted, paper))
        badge = BADGE if note else "real images"
        blocks.append(Figures([Figure(picture, CAPTION, alternative(charted))], badge=badge))
    blocks += [
        Heading("This run"),
        Text(place_words(study)),
        Text(sentence(this)),
        ladder_table("This run on the ladder", [this], note),
    ]
    return Section("ladder", "The ladder: how the split affects accuracy", blocks)


def sentence(climb: Climb) -> str:
    """One recipe in a sentence."""
    parts = [f"{ACCURACY.said(found.value)} {SAID.get(step, step)}" for step, found in climb.steps.items()]
    said = f"{climb.title}: accuracy {', '.join(parts)}."
    outside = [
        f"{AREA.said(scores[WITHIN])} on {spoken(name)} ({verdict_words(scores)})"
        for name, scores in climb.outside.items()
        if scores[WITHIN] is not None
    ]
    if not outside:
        return said
    return f"{said} On slices from other hospitals, its AUC within patients is {' and '.join(outside)}."


def verdict_words(scores: Mapping) -> str:
    """'above chance', 'too few patients' and so on."""
    return against_chance(scores["ci95"][WITHIN], scores.get("patients_with_both", scores["patients"]))


def place_words(study: Study) -> str:
    """The rung of this run, and why."""
    audit, split_by = study.scores("audit"), study.params["split_by"]
    place, kept = rung(audit, split_by), separation(audit, split_by)
    where = f"on the rung “{RUNGS[place]}”" if place else "on no rung"
    what = study.notes["images"] or "real images"
    return f"This run ({what}) is split by {split_by} and is {where}. {kept[0].upper()}{kept[1:]}."


def ladder_table(caption: str, climbs: Sequence[Climb], badge: str, paper: float | None = None) -> Table:
    """A row for each recipe, below the paper's if given; a column for each step that occurs.

    Args:
        paper: the accuracy that the paper reports, split by image.
    """
    steps = [step for step in STEPS if any(step in climb.steps for climb in climbs)]
    steps += [step for climb in climbs for step in climb.steps if step not in STEPS]
    sets = list(dict.fromkeys(name for climb in climbs for name in climb.outside))
    rows = []
    if paper is not None:
        printed = [ACCURACY.said(paper) if step == IMAGE else NOTHING for step in steps]
        rows.append(("the paper", *printed, *(NOTHING for _ in sets)))
    for climb in climbs:
        accuracies = [climb.steps.get(step) for step in steps]
        areas = [climb.outside.get(name) for name in sets]
        rows.append(
            (
                climb.title,
                *(_below(ACCURACY, found.value, found.ends) if found else NOTHING for found in accuracies),
                *(_below(AREA, found[WITHIN], found["ci95"][WITHIN]) if found else NOTHING for found in areas),
            )
        )
    columns = (
        "recipe",
        *(f"accuracy, {STEPS.get(step, step)}" for step in steps),
        *(f"AUC within patients, {spoken(name)}" for name in sets),
    )
    return Table(caption, columns, rows, NOTE, badge=badge)


def alternative(climbs: Sequence[Climb]) -> str:
    """The alternative text of the chart."""
    return " ".join(["Dots with intervals, a row for each rung and each set.", *map(sentence, climbs)])


def _below(score: Score, value: float | None, ends: Sequence[float] | None) -> str:
    """The value with the interval below it."""
    if value is None:
        return NOTHING
    return f"{score.said(value)}\n{score.interval(ends)}" if ends else score.said(value)
