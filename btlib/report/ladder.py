"""The ladder: accuracy of one recipe on the rungs of `images.data.separation`, each with less to memorise."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from btlib.images.data.separation import IMAGE, NEAR_COPY, PATIENT, RUNGS, kept_apart, rung
from btlib.report.study import Study

KNOWN = "known"
STEPS = {**RUNGS, KNOWN: "images of known patients only"}
OLD_RUNGS = {"image": IMAGE, "group": NEAR_COPY}  # split_by of records that predate rungs


@dataclass(frozen=True)
class Estimate:
    """A value and the ends of its 95 % interval."""

    value: float
    ends: Sequence[float]


@dataclass(frozen=True)
class Climb:
    """The results of one recipe.

    Attributes:
        steps: key of STEPS (or `split by …` for a split that is not on a rung) -> accuracy.
        outside: set from another hospital -> its scores, as in metrics/external.json.
    """

    title: str
    steps: Mapping[str, Estimate]
    outside: Mapping[str, Mapping[str, Any]]


def rung_of(record: Mapping) -> str | None:
    """The rung of a recorded run; None if it is not on one."""
    return record.get("rung") or OLD_RUNGS.get(record["split_by"])


def rung_words(record: Mapping) -> str:
    """The rung of a recorded run in words, with the number of images of known patients if it was recorded."""
    known, place = record.get("known_patients"), rung_of(record)
    if place == PATIENT and known:
        return kept_apart(record["n_test"], record["n_test"] - known["images"])
    return RUNGS[place] if place else f"split by {record['split_by']}"


def recorded_climbs(records: Sequence[Mapping]) -> list[Climb]:
    """One for each title, those with most rungs first; the later of two records on the same rung counts."""
    by_title: dict[str, dict[str, Mapping]] = {}
    for record in sorted(records, key=lambda record: record["date"]):
        place = rung_of(record)
        if place:
            by_title.setdefault(record["title"], {})[place] = record
    climbs = [_climb(title, found) for title, found in by_title.items()]
    return sorted(climbs, key=lambda climb: (-len(climb.steps), climb.title))


def this_climb(study: Study) -> Climb:
    """This run: its only rung, over all folds if there are any, and the sets from other hospitals."""
    split_by, folds = study.params["split_by"], study.scores("cross_validation")
    step = rung(study.scores("audit"), split_by) or f"split by {split_by}"
    whole = folds["pooled"] or study.scores("classification")
    steps = {step: Estimate(whole["accuracy"], whole["ci95"]["accuracy"])}
    if step == PATIENT:
        steps |= _of_known(folds["known_patients"], whole["n_test"])
    return Climb("This run", steps, study.scores("external")["sets"])


def _climb(title: str, found: Mapping[str, Mapping]) -> Climb:
    steps = {
        place: Estimate(found[place]["scores"]["accuracy"], found[place]["ci95"]["accuracy"])
        for place in RUNGS
        if place in found
    }
    by_patient = found.get(PATIENT, {})
    steps |= _of_known(by_patient.get("known_patients"), by_patient.get("n_test", 0))
    return Climb(title, steps, by_patient.get("external") or {})


def _of_known(known: Mapping | None, images: int) -> dict[str, Estimate]:
    """Accuracy on the images whose patient is known; empty if those are all images."""
    if not known or known["images"] == images:
        return {}
    return {KNOWN: Estimate(known["accuracy"], known["ci95"]["accuracy"])}
