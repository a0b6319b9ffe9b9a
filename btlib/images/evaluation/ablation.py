"""One ablation table: every arm's scores over its seeds, their spread, and tests against the proposed model."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from btlib.core.metrics.classification import COMPARED, resampled_scores, scores
from btlib.core.metrics.predictions import Predictions, mismatch
from btlib.core.metrics.resampling import CHUNK, interval, stratified_weights
from btlib.core.metrics.significance import corrected_paired_t, holm, mcnemar, paired_t
from btlib.core.runtime.arm_names import PROPOSED
from btlib.core.runtime.errors import InputError, listed

AS_PREDICTED = 1.0  # temperature; none of the compared metrics uses scaled probabilities

READING = {
    "ci95": (
        "The intervals come from resampling the test images within their class (near copies together, where groups are "
        "known), with the trained networks fixed: they show how the mean over these seeds varies with the choice of "
        "test images, not of seeds. The ECE is biased upwards in resamples."
    ),
    "failed": (
        "Failed runs have no scores: means and tests use the other seeds, so an arm with failures looks better than "
        "it is."
    ),
}


@dataclass(frozen=True)
class Failed:
    """A run without predictions, such as one that diverged."""

    reason: str


Finished = Mapping[int, Predictions]


def ablation_table(
    arms: Mapping[str, Mapping[int, Predictions | Failed]],
    paper: Mapping[str, Mapping[str, float] | None],
    n_train: int,
    bins: int,
    resamples: int,
    rng: np.random.Generator,
    groups: np.ndarray | None = None,
) -> dict:
    """The table as JSON: {"rows": one per arm in the given order}; READING explains the numbers.

    A row holds arm; seeds (seed with the scores COMPARED, or with failed: the reason); mean, sd (sample, null with one
    seed) and ci95 per score; tests (paired_t, corrected_paired_t, mcnemar, each with p and p_holm; null for the
    proposed model) over the seeds that the arm shares with the proposed model; p_value, the Holm-adjusted p of
    corrected_paired_t; paper, the paper's scores or null.

    Args:
        arms: arm -> seed -> test predictions, or the reason for having none. The proposed model is the arm of that
            name, or else the first.
        paper: arm -> score -> value, a table of `btlib.report.figures.paper.TABLES`.
        n_train: training images, the same for every arm.
        bins: number of ECE bins.
        resamples: bootstrap resamples; every arm and seed gets the same ones.
        groups: [N] group of each test image, drawn together; None: each image on its own.

    Raises:
        InputError: no run has predictions, or two runs differ in images, labels or classes.
    """
    finished = {name: _finished(runs) for name, runs in arms.items()}
    labels = _common_labels(arms, finished)
    weights = stratified_weights(labels, resamples, rng, groups)
    proposed = PROPOSED if PROPOSED in arms else next(iter(arms))
    others = [name for name in arms if name != proposed]
    tests = _with_holm({name: _tests(finished[proposed], finished[name], n_train) for name in others})
    rows = [
        {
            "arm": name,
            **_scores(runs, finished[name], bins, weights),
            "tests": tests.get(name),
            "p_value": None if name == proposed else tests[name]["corrected_paired_t"]["p_holm"],
            "paper": paper.get(name),
        }
        for name, runs in arms.items()
    ]
    return {"rows": rows}


def seed_mean_ci95(runs: Finished, bins: int, weights: np.ndarray) -> dict[str, list[float]]:
    """Percentile intervals of the mean over seeds of each score in COMPARED, every seed on the same resampled images.

    Args:
        runs: seed -> predictions of N images.
        bins: number of ECE bins.
        weights: [B, N] how often each resample drew each image.
    """
    chunks = [weights[start : start + CHUNK] for start in range(0, len(weights), CHUNK)]
    drawn = [[resampled_scores(run, AS_PREDICTED, bins, chunk, COMPARED) for run in runs.values()] for chunk in chunks]
    return {
        name: interval(np.concatenate([np.mean([run[name] for run in chunk], axis=0) for chunk in drawn]))
        for name in COMPARED
    }


def _finished(runs: Mapping[int, Predictions | Failed]) -> dict[int, Predictions]:
    return {seed: runs[seed] for seed in sorted(runs) if not isinstance(runs[seed], Failed)}


def _common_labels(arms: Mapping[str, Mapping], finished: Mapping[str, Finished]) -> np.ndarray:
    """[N] true class numbers, after checking that all runs cover the same images."""
    runs = {f"{name}, seed {seed}": run for name, by_seed in finished.items() for seed, run in by_seed.items()}
    if not runs:
        raise InputError(f"none of the arms ({', '.join(arms)}) has predictions, so there is nothing to compare")
    first, *others = runs
    faults = [f"{name}: {fault}" for name in others if (fault := mismatch(runs[first], runs[name]))]
    if faults:
        raise InputError(
            f"the arms were not tested on the same images; compared with {first}:\n{listed(faults)}\n"
            "Train and evaluate every arm on the same split."
        )
    return runs[first].labels


def _scores(runs: Mapping[int, Predictions | Failed], finished: Finished, bins: int, weights: np.ndarray) -> dict:
    every = {seed: scores(run, AS_PREDICTED, bins, COMPARED) for seed, run in finished.items()}
    values = np.array([list(found.values()) for found in every.values()])
    nothing = [None] * len(COMPARED)
    return {
        "seeds": [
            {"seed": seed, "failed": runs[seed].reason} if seed not in every else {"seed": seed, **every[seed]}
            for seed in sorted(runs)
        ],
        "mean": _named(values.mean(axis=0).tolist() if len(values) else nothing),
        "sd": _named(values.std(axis=0, ddof=1).tolist() if len(values) > 1 else nothing),
        "ci95": seed_mean_ci95(finished, bins, weights) if finished else _named(nothing),
    }


def _named(values: list) -> dict:
    return dict(zip(COMPARED, values, strict=True))


def _tests(proposed: Finished, arm: Finished, n_train: int) -> dict[str, dict]:
    shared = sorted(proposed.keys() & arm.keys())
    if not shared:
        undefined = {"statistic": None, "p": None}
        counts = {"only_proposed_right": 0, "only_arm_right": 0, "p": None}
        return {"paired_t": undefined, "corrected_paired_t": undefined, "mcnemar": counts}
    right = [np.stack([runs[seed].correct for seed in shared]) for runs in (proposed, arm)]
    accuracies = [rows.mean(axis=1) for rows in right]
    return {
        "paired_t": paired_t(*accuracies),
        "corrected_paired_t": corrected_paired_t(*accuracies, n_test=right[0].shape[1], n_train=n_train),
        "mcnemar": mcnemar(*right),
    }


def _with_holm(tests: dict[str, dict[str, dict]]) -> dict[str, dict[str, dict]]:
    """Adds p_holm to the tests of every arm; the arms form one family per kind of test."""
    adjusted = {
        kind: dict(zip(tests, holm([found[kind]["p"] for found in tests.values()]), strict=True))
        for kind in ("paired_t", "corrected_paired_t", "mcnemar")
    }
    return {
        arm: {kind: {**values, "p_holm": adjusted[kind][arm]} for kind, values in found.items()}
        for arm, found in tests.items()
    }
