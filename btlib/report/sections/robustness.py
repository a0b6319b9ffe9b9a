"""Accuracy and calibration of the models on corrupted images."""

from btlib.images.evaluation.robustness import READING
from btlib.report.blocks import Bullets, Section, Table
from btlib.report.figures.numbers import count, spoken
from btlib.report.figures.wording import named_lines
from btlib.report.scores import ACCURACY, SCORES
from btlib.report.study import Study

MAIN = "main"
FIGURES = {
    "accuracy.png": ("Accuracy by corruption and severity.", "Accuracy curves, a panel for each corruption"),
    "sensitivity.png": ("Sensitivity of each class.", "Sensitivity of each class under corruption"),
}
EXAMPLES = {"": ("The corruptions at their severities.", "One slice under every corruption and severity")}


def robustness_section(study: Study) -> Section:
    found = study.scores("robustness")
    models = {name: found["models"][name] for name in sorted(found["models"], key=lambda name: (name != MAIN, name))}
    corruptions = next(iter(models.values()))["corruptions"]
    rows = [("none (clean)", *(ACCURACY.said(model["clean"]["accuracy"]) for model in models.values()))]
    rows += [
        (spoken(name), *(ACCURACY.said(model["corruptions"][name]["mean"]["accuracy"]) for model in models.values()))
        for name in corruptions
    ]
    summary = [
        (
            spoken(name),
            ACCURACY.estimate(model["clean"]["accuracy"], model["ci95"]["clean"]["accuracy"]),
            ACCURACY.estimate(model["mca"], model["ci95"]["mca"]),
            ACCURACY.signed(model["drop"], model["ci95"]["drop"]),
            SCORES["ece"].estimate(model["clean"]["ece"], model["ci95"]["clean"]["ece"]),
            SCORES["ece"].estimate(model["mean_ece"], model["ci95"]["mean_ece"]),
        )
        for name, model in models.items()
    ]
    columns = (
        "model",
        "accuracy, clean",
        "mean under corruption (mCA)",
        "drop, points",
        "ECE, clean",
        "ECE, corrupted",
    )
    note = f"On {count(found['n_test'])} test images. '{MAIN}' is this run's classifier; the others are ablation arms."
    blocks = [
        Table("Over all corruptions", columns, summary, note + " The paper claims robustness but does not measure it."),
        Table("Accuracy by corruption, mean over severities", ("corruption", *map(spoken, models)), rows),
        *study.figures("robustness", FIGURES),
        *study.figures("corruptions", EXAMPLES),
        Bullets(named_lines(READING), "How to read these numbers"),
    ]
    return Section("robustness", "Robustness", blocks, study.notes["images"])
