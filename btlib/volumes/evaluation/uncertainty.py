"""Uncertainty as an error detector: is it higher where the network is wrong?

Voxels are stored only as two histograms per case, one of the right and one of the wrong voxels, from which the area
under the ROC curve is computed. All uncertainties are in bits, so those of binary decisions are in 0 … 1.
"""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import pandas as pd

from btlib.core.metrics.resampling import stratified_weights
from btlib.core.metrics.sample import ranking_scores
from btlib.volumes.data.conventions import GRADES
from btlib.volumes.data.store import Case
from btlib.volumes.evaluation.cohort import Cohort, estimates, intervals
from btlib.volumes.evaluation.masks import PLAIN, Postprocessing, tumor_of
from btlib.volumes.evaluation.tables import GRADE_UNCERTAINTY, VOXEL_ERRORS

BINS = 241  # 40 for each factor of ten from SMALLEST to 1, and one for all below
SMALLEST = 1e-6
HEADLINE = "mc_entropy"  # the method of uncertainty_error_auroc: predictive entropy over Monte-Carlo dropout

READING = {
    "voxel_error_auroc": (
        "The probability that a brain voxel wrongly classified as tumour or not is less certain than a correctly "
        "classified one; 0.5 is chance. Each method is scored on its own errors, so one with fewer but harder errors "
        "may have the lower value: the error left at each coverage shows both."
    ),
    "grade_error_auroc": "The same for cases and their grade; undefined without wrong grades, imprecise with few.",
}


class Answer(Protocol):
    """A method's prediction for one case (`btlib.volumes.explain.sampling.Method`); None for parts the network lacks.

    Attributes:
        p_wt: [X, Y, Z] probability of tumour.
        voxels: [X, Y, Z] uncertainty of p_wt, in bits.
        p_hgg: probability of HGG.
        grade: uncertainty of p_hgg, in bits.
    """

    p_wt: np.ndarray | None
    voxels: np.ndarray | None
    p_hgg: float | None
    grade: float | None


class Doubts:
    """The tables VOXEL_ERRORS and GRADE_UNCERTAINTY, collected answer by answer.

    Args:
        rules: decide from a method's probability which voxels it calls tumour.
    """

    def __init__(self, rules: Postprocessing = PLAIN) -> None:
        self._rules = rules
        self._voxels: list[pd.DataFrame] = []
        self._grades: list[list] = []

    def add_case(self, case: Case, answers: Mapping[str, Answer]) -> None:
        """Adds the answers for a case, by method name; only voxels of the brain count."""
        brain, truth = (case.image != 0).any(axis=0), None if case.seg is None else case.seg > 0
        for method, answer in answers.items():
            known = truth is not None and answer.p_wt is not None
            wrong = tumor_of(answer.p_wt, case.affine, self._rules) != truth if known else None
            self.add(method, case.name, answer, wrong, brain)

    def add(self, method: str, case: str, answer: Answer, wrong: np.ndarray | None, mask: np.ndarray) -> None:
        """Adds one answer.

        Args:
            wrong: bool [X, Y, Z], where it is wrong about the whole tumour; None if unknown.
            mask: bool [X, Y, Z], the voxels that count, such as the brain.
        """
        if wrong is not None:
            counts = error_histograms(answer.voxels, wrong, mask)
            self._voxels.append(histogram_rows(method, case, counts))
        if answer.grade is not None:
            self._grades.append([method, case, answer.p_hgg, answer.grade])

    @property
    def voxel_errors(self) -> pd.DataFrame:
        """The table VOXEL_ERRORS of all answers with known truth."""
        return pd.concat(self._voxels, ignore_index=True) if self._voxels else pd.DataFrame(columns=VOXEL_ERRORS)

    @property
    def grade_uncertainty(self) -> pd.DataFrame:
        """The table GRADE_UNCERTAINTY of all answers with a grade."""
        return pd.DataFrame(self._grades, columns=GRADE_UNCERTAINTY)


def error_histograms(uncertainty: np.ndarray, wrong: np.ndarray, mask: np.ndarray, bins: int = BINS) -> np.ndarray:
    """Histograms of right and wrong voxels by uncertainty.

    Bins are logarithmic, since most voxels are almost certain: the first is below SMALLEST, the others divide
    SMALLEST … 1.

    Args:
        uncertainty: [X, Y, Z] in bits, 0 … 1.
        wrong: bool [X, Y, Z], whether the prediction is wrong.
        mask: bool [X, Y, Z], the voxels that count, such as the brain.
        bins: at least 2.

    Returns:
        int64 [2, bins]: right, wrong.
    """
    number = np.digitize(uncertainty[mask], np.geomspace(SMALLEST, 1, bins)[:-1])
    return np.stack([np.bincount(number[chosen], minlength=bins) for chosen in (~wrong[mask], wrong[mask])])


def histogram_rows(method: str, case: str, counts: np.ndarray) -> pd.DataFrame:
    """The filled bins of `error_histograms` as rows of the voxel error table: method, case, bin, right, wrong."""
    filled = np.flatnonzero(counts.any(axis=0))
    right, wrong = counts[:, filled]
    return pd.DataFrame({"method": method, "case": case, "bin": filled, "right": right, "wrong": wrong})


def auroc_from_histograms(right: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """The probability that a wrong voxel is less certain than a right one; voxels in the same bin are ties.

    Args:
        right: [..., bins] counts of right voxels, from certain to uncertain.
        wrong: [..., bins] counts of wrong voxels.

    Returns:
        [...] in 0 … 1; NaN where all are right or all are wrong.
    """
    more_certain = np.cumsum(right, axis=-1) - right / 2
    with np.errstate(invalid="ignore"):
        return (wrong * more_certain).sum(axis=-1) / (right.sum(axis=-1) * wrong.sum(axis=-1))


def voxel_error_auroc(voxels: pd.DataFrame, cases: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """[B] areas under the ROC curve over the voxels of all cases; NaN where undefined.

    Args:
        voxels: rows of one method, columns `tables.VOXEL_ERRORS`.
        cases: [N] names.
        weights: [B, N].
    """
    right, wrong = (
        voxels.pivot_table(index="case", columns="bin", values=name, aggfunc="sum", fill_value=0)
        .reindex(cases, fill_value=0)
        .to_numpy(dtype=float)
        for name in ("right", "wrong")
    )
    return auroc_from_histograms(weights @ right, weights @ wrong)


def risk_curves(voxels: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Method -> coverage (share of voxels kept, the most certain first) and risk (share of these that are wrong).

    Args:
        voxels: columns `tables.VOXEL_ERRORS`.
    """
    curves = {}
    for method, rows in voxels.groupby("method", sort=False):
        counts = rows.groupby("bin")[["right", "wrong"]].sum()
        kept = counts.sum(axis=1).cumsum()
        curves[method] = pd.DataFrame({"coverage": kept / kept.iloc[-1], "risk": counts["wrong"].cumsum() / kept})
    return curves


def uncertainty_rows(
    voxels: pd.DataFrame, grades: pd.DataFrame, cohort: Cohort, resamples: int, rng: np.random.Generator
) -> list[dict]:
    """A row per method: voxel_error_auroc, voxel_error_rate, grade_error_auroc, grade_errors, n_graded, ci95.

    None where undefined. The intervals resample cases within their grade, or for grade_error_auroc within right and
    wrong ones; a patient's cases are drawn together.

    Args:
        voxels: columns `tables.VOXEL_ERRORS`.
        grades: columns `tables.GRADE_UNCERTAINTY`.
        cohort: the cases of both.
        resamples: bootstrap resamples, the same for the voxels of every method.
    """
    weights = cohort.weights(resamples, rng)
    rows = []
    for method in dict.fromkeys([*voxels["method"], *grades["method"]]):
        counted, of_cases = voxels[voxels["method"] == method], grades[grades["method"] == method]
        wrong, n_graded, auroc = _grade_errors(of_cases, cohort, resamples, rng)
        drawn = {"voxel_error_auroc": voxel_error_auroc(counted, cohort.cases, weights), "grade_error_auroc": auroc}
        errors, total = counted["wrong"].sum(), counted[["right", "wrong"]].to_numpy().sum()
        rate = float(errors / total) if total else None
        row = {"method": method, **estimates(drawn), "ci95": intervals(drawn), "voxel_error_rate": rate}
        rows.append(row | {"grade_errors": wrong, "n_graded": n_graded})
    return rows


def _grade_errors(
    grades: pd.DataFrame, cohort: Cohort, resamples: int, rng: np.random.Generator
) -> tuple[int, int, np.ndarray]:
    """Number of wrongly graded cases, number of graded cases, and [1 + B] AUROC of these errors; NaN if undefined."""
    known = pd.DataFrame({"case": cohort.cases, "patient": cohort.patients, "grade": cohort.grades})[cohort.graded]
    table = known.merge(grades, on="case")
    wrong = ((table["p_HGG"] > 0.5) != (table["grade"] == GRADES[1])).to_numpy()
    if wrong.all() or not wrong.any():
        return int(wrong.sum()), len(table), np.full(1 + resamples, np.nan)
    drawn = stratified_weights(wrong, resamples, rng, table["patient"].to_numpy(dtype=object))
    weights = np.vstack([np.ones(len(table)), drawn])
    return int(wrong.sum()), len(table), ranking_scores(wrong, table["uncertainty"].to_numpy(), weights)[0]
