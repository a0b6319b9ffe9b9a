"""The robustness table: scores against hand-computed ones, pairing, faults, and the figures."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from btlib.core.metrics.predictions import Predictions, predictions_table
from btlib.core.metrics.resampling import interval, stratified_weights
from btlib.core.runtime.artifacts import write_csv
from btlib.core.runtime.errors import InputError
from btlib.images.evaluation.robustness import CLEAN, read_runs, robustness_table
from btlib.report.figures.numbers import GLUE, PERCENT
from btlib.report.figures.robustness import accuracy_figure, sensitivity_figure, worst_corruptions
from tests.core.metrics.oracle import ece

CLASSES = ("glioma", "meningioma", "no_tumor", "pituitary")
LABELS = np.repeat(np.arange(4), 5)


def says(predicted: np.ndarray, sure: float = 0.7) -> Predictions:
    probabilities = np.full((len(predicted), 4), (1 - sure) / 3)
    probabilities[np.arange(len(predicted)), predicted] = sure
    return Predictions(np.array([f"i{n}" for n in range(20)], dtype=object), LABELS, probabilities, CLASSES)


def wrong_in(rows: list[int]) -> Predictions:
    """Right everywhere except in `rows`, which get the next class."""
    predicted = LABELS.copy()
    predicted[rows] = (LABELS[rows] + 1) % 4
    return says(predicted)


@pytest.fixture
def runs():
    """One model: 19/20 right when clean; blur 18 and 16, noise 15 and 5."""
    return {
        "main": {
            CLEAN: wrong_in([0]),
            ("blur", 1): wrong_in([0, 1]),
            ("blur", 2): wrong_in([0, 1, 5, 6]),
            ("noise", 1): wrong_in([0, 1, 2, 3, 4]),
            ("noise", 2): wrong_in(list(range(15))),
        }
    }


def table(runs, groups=None):
    return robustness_table(runs, 15, 200, np.random.default_rng(0), groups)


def test_scores_and_means(runs):
    rows = table(runs)["models"]["main"]
    assert rows["clean"]["accuracy"] == pytest.approx(0.95)
    blur = rows["corruptions"]["blur"]
    assert blur["severities"]["2"]["accuracy"] == pytest.approx(0.8)
    assert blur["severities"]["2"]["sensitivity"] == pytest.approx(
        {"glioma": 0.6, "meningioma": 0.6, "no_tumor": 1, "pituitary": 1}
    )
    assert blur["mean"]["accuracy"] == pytest.approx(0.85)
    assert blur["mean"]["sensitivity"]["meningioma"] == pytest.approx(0.8)
    # (0.85 + 0.5) / 2
    assert rows["mca"] == pytest.approx(0.675)
    assert rows["drop"] == pytest.approx(0.275)
    assert rows["clean"]["ece"] == pytest.approx(0.25)  # 0.95 right, 0.7 sure


def test_the_ece_matches_that_of_the_other_tables(predictions):
    rows = table({"main": {CLEAN: predictions, ("blur", 1): predictions}})["models"]["main"]
    expected = ece(predictions.confidence, predictions.correct, 15)
    assert rows["clean"]["ece"] == pytest.approx(expected) and rows["mean_ece"] == pytest.approx(expected)


def test_intervals_match_the_resampled_means(runs):
    rows = table(runs)["models"]["main"]
    weights = stratified_weights(LABELS, 200, np.random.default_rng(0))
    cases = runs["main"]
    accuracy = {case: weights @ made.correct / weights.sum(axis=1) for case, made in cases.items()}
    blur = (accuracy["blur", 1] + accuracy["blur", 2]) / 2
    noise = (accuracy["noise", 1] + accuracy["noise", 2]) / 2
    assert rows["corruptions"]["blur"]["ci95"]["accuracy"] == pytest.approx(interval(blur))
    assert rows["ci95"]["mca"] == pytest.approx(interval((blur + noise) / 2))
    assert rows["ci95"]["drop"] == pytest.approx(interval(accuracy[CLEAN] - (blur + noise) / 2))


def test_the_drop_is_paired(predictions):
    """A corruption that changes nothing has a drop of exactly 0, whatever the resample."""
    rows = table({"main": {CLEAN: predictions, ("blur", 1): predictions}})["models"]["main"]
    assert rows["drop"] == 0 and rows["ci95"]["drop"] == [0, 0]
    low, high = rows["ci95"]["mca"]
    assert low < rows["mca"] < high


def test_groups_widen_the_intervals(runs):
    runs = {"main": {CLEAN: wrong_in([0, 1, 5, 6, 10, 11]), ("blur", 1): wrong_in([0, 1, 5, 6, 10, 11])}}
    pairs = np.array([0, 0, 1, 1, 2] * 4) + np.repeat(np.arange(4) * 3, 5)
    width = [np.ptp(table(runs, groups)["models"]["main"]["ci95"]["mca"]) for groups in (None, pairs)]
    assert width[1] > width[0]


def test_runs_that_cannot_be_compared_are_named(runs):
    other = dict(runs["main"])
    del other["noise", 2]
    with pytest.raises(InputError, match=r"slow: \('noise', 2\) is missing from it or from main"):
        table(runs | {"slow": other})
    strange = wrong_in([0])
    strange.image_ids[0] = "elsewhere"
    with pytest.raises(InputError, match=r"main, \('blur', 1\): 2 image ids are in only one of the two"):
        table({"main": runs["main"] | {("blur", 1): strange}})
    with pytest.raises(InputError, match="found 1 cases, expected"):
        table({"main": {CLEAN: wrong_in([])}})


def test_runs_survive_a_round_trip_through_one_table(runs, tmp_path):
    parts = []
    for (corruption, severity), made in runs["main"].items():
        part = predictions_table(made.image_ids, np.array(CLASSES)[made.labels], made.probabilities, CLASSES)
        parts.append(pd.DataFrame({"model": "main", "corruption": corruption, "severity": severity}, part.index))
        parts[-1] = parts[-1].join(part)
    write_csv(tmp_path / "predictions.csv", pd.concat(parts))
    again = read_runs(tmp_path / "predictions.csv")
    assert list(again["main"]) == list(runs["main"])
    assert table(again) == table(runs)
    write_csv(tmp_path / "predictions.csv", pd.concat(parts).drop(columns="severity"))
    with pytest.raises(InputError, match=r"missing columns \['severity'\]"):
        read_runs(tmp_path / "predictions.csv")


def test_a_fault_in_one_part_names_it(runs, tmp_path):
    made = runs["main"][CLEAN]
    part = predictions_table(made.image_ids, ["glioma"] * 20, made.probabilities, CLASSES)
    keys = pd.DataFrame({"model": "main", "corruption": "clean", "severity": 0}, part.index)
    write_csv(tmp_path / "predictions.csv", keys.join(part))
    with pytest.raises(InputError, match=r"predictions.csv, main, clean 0:(.|\n)*class 'pituitary' has no images"):
        read_runs(tmp_path / "predictions.csv")


def texts(figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text)]


def test_curves_start_at_the_clean_accuracy_and_their_mean_is_drawn(runs):
    figure = accuracy_figure(table(runs))
    drawn = {axes.get_title(): axes.lines[0].get_xydata() for axes in figure.axes if axes.lines}
    assert list(drawn) == ["blur", "noise", "mean of all"]
    assert drawn["blur"] == pytest.approx(np.array([[0, 0.95], [1, 0.9], [2, 0.8]]))
    assert drawn["mean of all"][2] == pytest.approx([2, (0.8 + 0.25) / 2])
    assert any(text.replace(GLUE, " ").startswith("main: clean 95.0 %, mCA 67.5 % [") for text in texts(figure))


def test_the_heat_tables_show_the_worst_corruptions(runs):
    rows = table(runs | {"other": runs["main"]})
    assert worst_corruptions(rows) == ["noise", "blur"]
    figure = sensitivity_figure(rows, 1)
    assert [axes.get_title() for axes in figure.axes] == ["clean", "noise"]
    # noise: gliomas 0 and 0, meningiomas 1 and 0, healthy 1 and 0, pituitary 1 and 1
    assert np.asarray(figure.axes[1].images[0].get_array())[0] == pytest.approx([0, 0.5, 0.5, 1])
    assert f"80{PERCENT}" in texts(figure) and "other" in texts(figure)
