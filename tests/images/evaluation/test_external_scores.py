"""Scores of sets from other hospitals: against scikit-learn, by hand, and undefined ones."""

import time

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, f1_score, recall_score, roc_auc_score

from btlib.core.metrics.resampling import stratified_weights
from btlib.core.runtime.artifacts import write_csv
from btlib.core.runtime.errors import InputError
from btlib.images.data.classes import CLASSES
from btlib.images.evaluation.external import (
    METRICS,
    external_of,
    external_scores,
    patient_aucs,
    read_external,
    strata_of,
    undefined_scores,
    weighted,
)
from btlib.report.figures.external import external_figure


def table(labels, p_none, patients, said="glioma", **columns):
    """Rows with the whole tumour probability on one class; the columns are not in the usual order of classes."""
    probabilities = {f"p_{name}": np.zeros(len(labels)) for name in CLASSES[::-1]}
    probabilities["p_no_tumor"] = np.array(p_none, dtype=float)
    said = [said] * len(labels) if isinstance(said, str) else said
    for row, name in enumerate(said):
        probabilities[f"p_{name}"][row] += 1 - p_none[row] if name != "no_tumor" else 0
    frame = pd.DataFrame({"path": [f"{n}.png" for n in range(len(labels))], "label": labels, "patient": patients})
    return frame.assign(**probabilities, confidence=0.5, **({"unsure": False, "unfamiliar": False} | columns))


def rng():
    return np.random.default_rng(0)


def random_set(n=300, patients=40, labels=("glioma", "no_tumor", "pituitary"), seed=0):
    draw = np.random.default_rng(seed)
    truth = draw.choice(labels, n)
    p_none = np.round(np.clip(draw.normal(np.where(truth == "no_tumor", 0.6, 0.4), 0.25), 0, 1), 2)  # with ties
    names = [f"P{number}" if number else "" for number in draw.integers(0, patients, n)]
    said = draw.choice(["glioma", "pituitary", "meningioma"], n)
    return table(list(truth), list(p_none), names, list(said), unsure=draw.random(n) < 0.3)


SIX = table(
    ["tumor", "tumor", "no_tumor", "no_tumor", "tumor", "no_tumor"],
    [0.1, 0.6, 0.6, 0.9, 0.8, 0.2],
    ["A", "A", "A", "A", "B", "B"],
    unsure=[True, False, False, False, False, False],
)


def test_by_hand():
    scores = external_scores(external_of(SIX), 200, rng())
    assert (scores["n"], scores["n_tumour"], scores["n_none"]) == (6, 3, 3)
    assert (scores["patients"], scores["patients_with_both"]) == (2, 2)
    assert scores["sensitivity"] == pytest.approx(1 / 3)  # 0.1 of three
    assert scores["specificity"] == pytest.approx(2 / 3)  # not 0.2
    assert scores["auc"] == pytest.approx(5.5 / 9)  # 0.1 wins 3, 0.6 wins 1.5, 0.8 wins 1
    # A: 0.1 beats both, 0.6 ties once and wins once: 3.5 of 4; B: 0 of 1
    np.testing.assert_allclose(patient_aucs(external_of(SIX))[0], [0.875, 0])
    assert scores["auc_within_patients"] == pytest.approx(0.4375)
    assert scores["unsure"] == pytest.approx(1 / 6) and scores["unfamiliar"] == 0
    assert scores["accuracy"] is scores["macro_f1"] is None
    assert scores["undefined"] == dict.fromkeys(("accuracy", "macro_f1"), "the set does not say which tumour it is")
    assert scores["ci95"]["accuracy"] is None


def test_patients_may_be_separable_where_the_set_is_not():
    """Two hospitals' scanners: tumour has the lower p(no tumour) within each patient, but not across patients."""
    answers = external_of(table(["tumor", "no_tumor"] * 2, [0.1, 0.2, 0.8, 0.9], ["A", "A", "B", "B"]))
    scores = external_scores(answers, 100, rng())
    assert scores["auc_within_patients"] == 1 and scores["auc"] == 0.75


def test_probabilities_below_the_resolution_of_one_minus_p_are_not_ties():
    scores = external_scores(external_of(table(["tumor", "no_tumor"], [1e-20, 1e-18], ["A", "A"])), 100, rng())
    assert scores["auc"] == 1


def test_estimates_match_scikit_learn():
    frame = random_set()
    scores = external_scores(external_of(frame), 100, rng())
    tumor = frame.label != "no_tumor"
    said = frame.filter(like="p_").idxmax(axis=1).str.removeprefix("p_")  # the first column wins ties, too
    assert scores["auc"] == pytest.approx(roc_auc_score(tumor, -frame.p_no_tumor))
    own = [
        roc_auc_score(part.label != "no_tumor", -part.p_no_tumor)
        for name, part in frame.groupby("patient")
        if name and (part.label == "no_tumor").nunique() == 2
    ]
    assert scores["auc_within_patients"] == pytest.approx(np.mean(own))
    assert scores["patients_with_both"] == len(own)
    assert scores["patients"] == frame.patient[frame.patient != ""].nunique()
    assert scores["sensitivity"] == pytest.approx(recall_score(tumor, said != "no_tumor"))
    assert scores["specificity"] == pytest.approx(recall_score(~tumor, said == "no_tumor"))
    assert scores["accuracy"] == pytest.approx(accuracy_score(frame.label, said))
    present = sorted(set(frame.label))
    expected = f1_score(frame.label, said, labels=present, average="macro", zero_division=0)
    assert scores["macro_f1"] == pytest.approx(expected)
    assert scores["undefined"] == {}
    for name, (low, high) in scores["ci95"].items():
        assert low <= scores[name] <= high, name


def test_resampled_scores_match_those_of_repeated_rows():
    answers = external_of(random_set(120, 25))
    weights = stratified_weights(strata_of(answers), 5, rng(), answers.patients)
    resampled = weighted(answers, weights, METRICS)
    for b, counts in enumerate(weights.astype(int)):
        rows = np.repeat(np.arange(120), counts)
        tumor = answers.tumor[rows]
        assert resampled["auc"][b] == pytest.approx(roc_auc_score(tumor, answers.suspicion[rows]))
        assert resampled["accuracy"][b] == pytest.approx(accuracy_score(answers.labels[rows], answers.said[rows]))
        labels = sorted(set(answers.labels))
        f1 = f1_score(answers.labels[rows], answers.said[rows], labels=labels, average="macro", zero_division=0)
        assert resampled["macro_f1"][b] == pytest.approx(f1)
        aucs, first = patient_aucs(answers)
        within = np.repeat(aucs, counts[first]).mean()
        assert resampled["auc_within_patients"][b] == pytest.approx(within)


def test_slices_of_a_patient_are_drawn_together_and_strata_keep_their_size():
    answers = external_of(random_set(120, 60))
    weights = stratified_weights(strata_of(answers), 50, rng(), answers.patients)
    for patient in np.unique(answers.patients):
        own = weights[:, answers.patients == patient]
        assert (own == own[:, :1]).all()
    first = patient_aucs(answers)[1]
    assert (weights[:, first].sum(axis=1) == len(first)).all()
    for label in set(answers.labels):
        assert (weights[:, answers.labels == label].sum(axis=1) > 0).all()


def test_copies_of_a_patients_images_do_not_narrow_the_interval():
    frame = random_set(200, 200)
    frame["patient"] = [f"P{n}" for n in range(200)]
    threefold = pd.concat([frame] * 3)

    def width(of):
        low, high = external_scores(external_of(of), 2000, rng())["ci95"]["specificity"]
        return high - low

    assert width(threefold) == pytest.approx(width(frame), rel=0.08)
    alone = threefold.assign(patient="")
    assert width(alone) == pytest.approx(width(frame) / np.sqrt(3), rel=0.1)


@pytest.mark.parametrize(
    ("labels", "lost", "reason"),
    [
        (["tumor"] * 4, "specificity", "the set has no image without tumour"),
        (["no_tumor"] * 4, "sensitivity", "the set has no image with a tumour"),
    ],
)
def test_sets_with_or_without_tumour_only_give_a_reason(labels, lost, reason):
    scores = external_scores(external_of(table(labels, [0.1, 0.7, 0.2, 0.3], ["A", "A", "", ""])), 100, rng())
    for name in (lost, "auc", "auc_within_patients"):
        assert scores[name] is None and scores["ci95"][name] is None
        assert scores["undefined"][name] == reason
    kept = {"sensitivity": 0.75, "specificity": 0.25}
    del kept[lost]
    assert {name: scores[name] for name in kept} == kept


def test_reasons_for_an_undefined_auc_within_patients():
    unknown = external_of(table(["tumor", "no_tumor"], [0.1, 0.7], ["", ""]))
    assert undefined_scores(unknown)["auc_within_patients"] == "no image's patient is known"
    apart = external_of(table(["tumor", "no_tumor"], [0.1, 0.7], ["A", "B"]))
    assert undefined_scores(apart)["auc_within_patients"] == "no patient has images both with and without tumour"
    assert external_scores(apart, 100, rng())["auc"] == 1


def test_one_patient_with_both_kinds_has_an_auc_but_no_interval():
    scores = external_scores(external_of(table(["tumor", "no_tumor"], [0.1, 0.7], ["A", "A"])), 100, rng())
    assert scores["auc_within_patients"] == 1 and scores["ci95"]["auc_within_patients"] is None


def test_classes_that_cannot_be_scored():
    one = external_of(table(["glioma", "glioma"], [0.1, 0.7], ["A", "B"]))
    assert undefined_scores(one)["accuracy"] == "the set has only one class"
    frame = table(["pituitary", "glioma"], [0.1, 0.7], ["A", "B"]).drop(columns="p_pituitary")
    assert undefined_scores(external_of(frame))["macro_f1"] == "the classifier has no class 'pituitary'"


def test_tables_survive_a_round_trip(tmp_path):
    frame = random_set(60, 9)
    frame["patient"] = frame.patient.str.replace("P", "00")  # text, not numbers
    write_csv(tmp_path / "full.csv", frame)
    written, kept = read_external(tmp_path / "full.csv"), external_of(frame)
    for name in ("labels", "patients", "known", "probabilities", "unsure", "unfamiliar"):
        np.testing.assert_array_equal(getattr(written, name), getattr(kept, name))
    write_csv(tmp_path / "empty.csv", frame[["path", "label", "patient"]].iloc[:0])
    assert read_external(tmp_path / "empty.csv") is None
    write_csv(tmp_path / "cut.csv", frame.drop(columns=["unsure", "p_no_tumor"]))
    with pytest.raises(InputError, match=r"missing columns \['unsure', 'p_no_tumor'\]"):
        read_external(tmp_path / "cut.csv")


def test_two_thousand_resamples_of_five_hundred_images_are_fast():
    answers = external_of(random_set(500, 80))
    started = time.process_time()
    external_scores(answers, 2000, rng())
    assert time.process_time() - started < 6


def test_the_figure_shows_curves_dots_and_what_is_undefined():
    frames = {"first": random_set(), "one_kind": table(["tumor"] * 3, [0.1, 0.7, 0.2], ["A", "B", "C"]), "six": SIX}
    sets = {name: (external_of(f), external_scores(external_of(f), 100, rng())) for name, f in frames.items()}
    figure = external_figure(sets)
    assert figure.get_suptitle() == "Images of other hospitals: tumour or none"
    roc, first, one_kind, six, *_ = figure.axes
    legend = [text.get_text() for text in roc.get_legend().get_texts()]
    assert legend[1] == "one kind: undefined, one kind only"
    assert legend[2].startswith("six: 0.611 [")
    assert "no image without tumour" in one_kind.texts[0].get_text()
    (dots,) = [line for line in six.lines if line.get_marker() == "o"]
    np.testing.assert_allclose(dots.get_xdata(), [0, 0.875])
    assert first.get_title() == "first: within patients"
    assert len(external_figure({"six": sets["six"]}).axes) == 2
