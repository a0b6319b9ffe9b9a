"""Calibration of the probabilities, before and after temperature scaling."""

from btlib.report.blocks import Section, Table, Text
from btlib.report.figures.numbers import NOTHING
from btlib.report.scores import JOINT_SCORES, SCORES
from btlib.report.study import Study

PAIRS = (("ece", "ece_temperature_scaled"), ("nll", "nll_temperature_scaled"))
FIGURE = {
    "calibration.png": (
        "Reliability: accuracy against confidence, before and after temperature scaling.",
        "Reliability diagrams before and after temperature scaling",
    )
}


def calibration_section(study: Study) -> Section:
    found, paper = study.scores("classification"), study.paper["headline"]
    rows = []
    for before, after in PAIRS:
        score, ends = SCORES[before], found["ci95"]
        rows.append(
            (
                score.name,
                score.estimate(found[before], ends[before]),
                score.estimate(found[after], ends[after]),
                score.said(paper.get(before)),
                score.difference(found[before], paper.get(before), ends[before]),
            )
        )
    columns = ("score", "as predicted", "after scaling", "paper", "as predicted minus the paper")
    temperature = (
        f"Temperature {found['temperature']:.3f}, fitted on the validation images; above 1 it lowers confidence."
    )
    blocks = [
        Text("The ECE depends on the bins and is biased upwards in small test sets; the log loss has neither problem."),
        Table("Classifier", columns, rows, temperature),
        *study.figures("evaluate", FIGURE),
    ]
    return Section("calibration", "Calibration", blocks, study.notes["images"])


def grade_calibration(study: Study) -> list:
    """Calibration of the grade, for the section on the volumes; empty if the network does not grade."""
    found = study.scores("joint3d")
    if found.get("grade_ece") is None:
        return []
    score, ends = JOINT_SCORES["grade_ece"], found["ci95"]
    after = found["grade_ece_temperature_scaled"]
    row = (
        score.name,
        score.estimate(found["grade_ece"], ends["grade_ece"]),
        score.estimate(after, ends["grade_ece_temperature_scaled"]),
        NOTHING if found["temperature"] is None else f"{found['temperature']:.3f}",
    )
    note = "The temperature is fitted on the validation cases; if these are few, it can make calibration worse."
    return [Table("Calibration of the grade", ("score", "as predicted", "after scaling", "temperature"), [row], note)]
