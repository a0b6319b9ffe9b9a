import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import f1_score, roc_auc_score

from btlib.core.metrics.classification import COMPARED, ci95
from btlib.core.metrics.resampling import stratified_weights
from btlib.core.metrics.significance import holm
from btlib.core.runtime.errors import InputError
from btlib.images.evaluation import ablation
from btlib.images.evaluation.ablation import Failed, ablation_table, seed_mean_ci95
from tests.core.metrics.oracle import ece

PAPER = {"gated": {"accuracy": 0.9412}, "pooled": None}
SEEDS = (11, 12, 13)


def noisy(predictions, noise: float, seed: int):
    """The same images, with probabilities mixed with random ones."""
    random = np.random.default_rng(seed).dirichlet(np.ones(4), len(predictions.labels))
    return replace(predictions, probabilities=(1 - noise) * predictions.probabilities + noise * random)


@pytest.fixture
def arms(predictions):
    noises = {"proposed": 0.1, "gated": 0.4, "pooled": 0.2}
    return {
        name: {seed: noisy(predictions, noise, 100 * k + seed) for seed in SEEDS}
        for k, (name, noise) in enumerate(noises.items())
    }


def table(arms, n_train: int = 628, resamples: int = 60) -> dict:
    return ablation_table(arms, PAPER, n_train, 15, resamples, np.random.default_rng(0))


def rows(arms, **words) -> dict[str, dict]:
    return {row["arm"]: row for row in table(arms, **words)["rows"]}


def accuracies(runs) -> np.ndarray:
    return np.array([(run.probabilities.argmax(axis=1) == run.labels).mean() for run in runs.values()])


def test_scores_mean_and_spread_match_scikit_learn(arms):
    row, runs = rows(arms)["gated"], arms["gated"]
    assert row["seeds"] == [
        {
            "seed": seed,
            "accuracy": pytest.approx(np.mean(run.probabilities.argmax(axis=1) == run.labels)),
            "macro_f1": pytest.approx(f1_score(run.labels, run.probabilities.argmax(axis=1), average="macro")),
            "roc_auc_macro": pytest.approx(roc_auc_score(run.labels, run.probabilities, multi_class="ovr")),
            "ece": pytest.approx(ece(run.confidence, run.correct, 15)),
        }
        for seed, run in runs.items()
    ]
    for name in COMPARED:
        values = [seed[name] for seed in row["seeds"]]
        assert row["mean"][name] == pytest.approx(np.mean(values))
        assert row["sd"][name] == pytest.approx(stats.tstd(values))


def test_the_tests_match_scipy_and_are_adjusted_over_the_arms(arms):
    found = rows(arms)
    p = {}
    for name in ("gated", "pooled"):
        difference = accuracies(arms[name]) - accuracies(arms["proposed"])
        student = stats.ttest_1samp(difference, 0)
        corrected = student.statistic * np.sqrt((1 / 3) / (1 / 3 + 157 / 628))
        p[name] = 2 * stats.t.sf(abs(corrected), df=2)
        tests = found[name]["tests"]
        assert tests["paired_t"]["p"] == pytest.approx(student.pvalue)
        assert tests["corrected_paired_t"]["statistic"] == pytest.approx(corrected)
        assert tests["corrected_paired_t"]["p"] == pytest.approx(p[name])
        hits = [np.concatenate([run.correct for run in arms[arm].values()]) for arm in ("proposed", name)]
        assert tests["mcnemar"]["only_proposed_right"] == np.sum(hits[0] > hits[1])
        assert tests["mcnemar"]["only_arm_right"] == np.sum(hits[1] > hits[0])
    for name, expected in zip(p, holm(list(p.values())), strict=True):
        assert found[name]["p_value"] == found[name]["tests"]["corrected_paired_t"]["p_holm"] == pytest.approx(expected)
    assert found["proposed"]["tests"] is None and found["proposed"]["p_value"] is None


def test_with_one_seed_the_interval_is_that_of_the_single_network(arms, monkeypatch):
    monkeypatch.setattr(ablation, "CHUNK", 60)
    run = arms["gated"][11]
    weights = stratified_weights(run.labels, 60, np.random.default_rng(5))
    expected = ci95(run, 1.0, 15, 60, np.random.default_rng(5))
    assert seed_mean_ci95({11: run}, 15, weights) == {name: pytest.approx(expected[name]) for name in COMPARED}


def test_the_interval_resamples_the_same_images_for_every_seed(arms, monkeypatch):
    """By hand for the accuracy: resampling an image resamples its mean correctness over the seeds."""
    monkeypatch.setattr(ablation, "CHUNK", 70)  # three chunks, the last one short
    runs = arms["pooled"]
    weights = stratified_weights(runs[11].labels, 150, np.random.default_rng(2))
    share_right = np.mean([run.correct for run in runs.values()], axis=0)
    expected = np.percentile(weights @ share_right / len(share_right), [2.5, 97.5])
    assert seed_mean_ci95(runs, 15, weights)["accuracy"] == pytest.approx(list(expected))


def test_copies_of_one_seed_do_not_change_the_interval(arms):
    run = arms["gated"][11]
    one, copies = rows({"proposed": {1: run}}), rows({"proposed": {1: run, 2: run, 3: run}})
    for name in COMPARED:
        assert one["proposed"]["ci95"][name] == pytest.approx(copies["proposed"]["ci95"][name])
    assert set(copies["proposed"]["sd"].values()) == {0.0}


def test_one_seed_has_no_spread_and_no_t_test(arms):
    row = rows({name: {11: runs[11]} for name, runs in arms.items()})["gated"]
    assert set(row["sd"].values()) == {None}
    assert row["p_value"] is None and row["tests"]["paired_t"] == {"statistic": None, "p": None, "p_holm": None}
    assert row["tests"]["mcnemar"]["p"] is not None


def test_a_failed_run_is_kept_and_the_tests_use_the_shared_seeds(arms):
    arms["gated"][12] = Failed("diverged in epoch 3")
    row = rows(arms)["gated"]
    assert row["seeds"][1] == {"seed": 12, "failed": "diverged in epoch 3"}
    left = {name: {seed: run for seed, run in runs.items() if seed != 12} for name, runs in arms.items()}
    without = rows(left)["gated"]
    assert row["mean"] == without["mean"] and row["sd"] == without["sd"] and row["ci95"] == without["ci95"]
    for kind in ("paired_t", "corrected_paired_t", "mcnemar"):
        assert row["tests"][kind]["p"] == without["tests"][kind]["p"]


def test_an_arm_without_finished_runs_has_a_row_of_nulls_and_is_not_counted_in_the_adjustment(arms):
    arms["gated"] = dict.fromkeys(SEEDS, Failed("out of memory"))
    found = rows(arms)
    row = found["gated"]
    assert {*row["mean"].values(), *row["sd"].values(), *row["ci95"].values()} == {None}
    assert row["tests"]["mcnemar"] == {"only_proposed_right": 0, "only_arm_right": 0, "p": None, "p_holm": None}
    for test in found["pooled"]["tests"].values():
        assert test["p_holm"] == test["p"]


def test_the_first_arm_is_the_proposed_one_if_none_has_that_name(arms):
    renamed = {"batch_size_32": arms.pop("proposed"), **arms}
    assert rows(renamed)["batch_size_32"]["tests"] is None
    later = {"gated": arms["gated"], "proposed": renamed["batch_size_32"]}
    assert rows(later)["proposed"]["tests"] is None and rows(later)["gated"]["tests"] is not None


def test_an_arm_with_the_proposed_settings_is_not_tested(arms):
    """Identical predictions, as in a sensitivity table: nothing to test, so Holm counts only the other arms."""
    found = rows({**arms, "batch_size_32": arms["proposed"]})
    assert {test["p"] for test in found["batch_size_32"]["tests"].values()} == {None}
    assert found["gated"]["p_value"] == rows(arms)["gated"]["p_value"]


def test_the_table_is_json_with_the_papers_values(arms):
    arms["pooled"] = {11: Failed("diverged")}
    found = table(arms)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert [row["paper"] for row in found["rows"]] == [None, {"accuracy": 0.9412}, None]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda run: replace(run, image_ids=np.where(run.image_ids == "i4", "x", run.image_ids)), "2 image ids are in"),
        (lambda run: replace(run, image_ids=run.image_ids[::-1]), "the images are in a different order"),
        (lambda run: replace(run, labels=np.roll(run.labels, 1)), "images have a different label"),
        (lambda run: replace(run, classes=("a", "b", "c", "d")), "the classes are a, b, c, d, not glioma, "),
    ],
)
def test_different_test_images_are_refused(arms, change, message):
    arms["gated"][12] = change(arms["gated"][12])
    with pytest.raises(InputError, match=message) as error:
        table(arms)
    assert "gated, seed 12" in str(error.value) and "proposed, seed 11" in str(error.value)


def test_a_table_without_finished_runs_is_refused():
    with pytest.raises(InputError, match=r"none of the arms \(proposed, gated\) has predictions"):
        table({"proposed": {1: Failed("diverged")}, "gated": {}})


def test_images_of_one_group_are_resampled_together(arms):
    """With one group per class every resample is the test set itself, so the intervals have no width."""
    labels = arms["proposed"][11].labels
    found = ablation_table(arms, PAPER, 628, 15, 20, np.random.default_rng(0), groups=labels)
    for row in found["rows"]:
        low, high = row["ci95"]["accuracy"]
        assert low == pytest.approx(high) == pytest.approx(row["mean"]["accuracy"])
