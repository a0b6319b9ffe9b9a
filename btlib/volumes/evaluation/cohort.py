"""The cases behind the scores of the 3D study, and their bootstrap weights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from btlib.core.metrics.resampling import interval, stratified_weights


@dataclass(frozen=True)
class Cohort:
    """N cases.

    Attributes:
        cases: [N] unique names.
        patients: [N] name of the patient; a patient's cases are drawn together.
        grades: [N] LGG, HGG, or '' if unknown.
        segmented: [N] bool, whether there is a true segmentation.
    """

    cases: np.ndarray
    patients: np.ndarray
    grades: np.ndarray
    segmented: np.ndarray

    @property
    def graded(self) -> np.ndarray:
        """[N] bool, whether the grade is known."""
        return self.grades != ""

    def weights(self, resamples: int, rng: np.random.Generator) -> np.ndarray:
        """[1 + resamples, N] count of each case: 1 in row 0, as drawn in the others.

        Cases are stratified by grade and by whether they have a segmentation, so that a score that is defined for the
        cohort is defined for every resample.
        """
        strata = np.array([f"{grade} {there}" for grade, there in zip(self.grades, self.segmented, strict=True)])
        drawn = stratified_weights(strata, resamples, rng, self.patients)
        return np.vstack([np.ones(len(self.cases)), drawn])


def weights_of(names: Sequence[str], cases: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The columns [B, n] of `weights` [B, N] that belong to some of the N `cases`, in the order of their names."""
    place = {name: row for row, name in enumerate(cases)}
    return weights[:, [place[name] for name in names]]


def estimates(drawn: Mapping[str, np.ndarray]) -> dict[str, float | None]:
    """Score -> the estimate, the first of its [1 + B] values; None if undefined, since JSON has no NaN."""
    return {name: None if np.isnan(values[0]) else float(values[0]) for name, values in drawn.items()}


def intervals(drawn: Mapping[str, np.ndarray]) -> dict[str, list[float] | None]:
    """Score -> the central 95 % of its resampled values; None if any is undefined."""
    return {name: None if np.isnan(values).any() else interval(values[1:]) for name, values in drawn.items()}
