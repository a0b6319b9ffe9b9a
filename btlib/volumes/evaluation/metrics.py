"""The metrics of the 3D study. To add one, write its function and its entry in OUTLINES or GRADES.

Estimates, intervals, ablation arms, tables and figures all read these entries;
`tests/volumes/evaluation/test_joint_metrics.py` compares them with scikit-learn.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from btlib.core.metrics.classification import accuracy, ece, kappa
from btlib.core.metrics.metric import Metric, Shown, names, registry, temperature_scaled
from btlib.core.metrics.resampling import weighted_mean
from btlib.core.metrics.sample import Sample, ranking_scores
from btlib.volumes.data.conventions import REGION_NAMES, REGIONS
from btlib.volumes.evaluation.uncertainty import voxel_error_auroc

LOW, HIGH = range(2)  # class numbers of LGG and HGG in a Sample; HGG is the positive class, predicted if p_HGG > 0.5


def mean_over_cases(name: str, measures: Mapping[str, np.ndarray], weights: np.ndarray) -> np.ndarray:
    """[B] means of the measure `name`, [n] values of n cases, with weights [B, n]."""
    return weighted_mean(measures[name], weights)


def grade_auc(sample: Sample) -> np.ndarray:
    return ranking_scores(sample.truth == HIGH, sample.probabilities[:, HIGH], sample.weights)[0]


def sensitivity(sample: Sample) -> np.ndarray:
    return sample.recall(HIGH)


def specificity(sample: Sample) -> np.ndarray:
    return sample.recall(LOW)


def of_both_grades(function: Callable[[Sample], np.ndarray]) -> Callable[[Sample], np.ndarray]:
    """Wraps a function to return NaN unless both grades occur."""

    def checked(sample: Sample) -> np.ndarray:
        both = len(np.unique(sample.truth)) == 2
        return function(sample) if both else np.full(len(sample.weights), np.nan)

    return checked


def _outline(measure: str, title: str, region: str, source: str, **written: Any) -> Metric:
    """A measure of one region's outline, averaged over cases."""
    name = f"{measure}_{region}"
    mean = partial(mean_over_cases, name)
    return Metric(
        name,
        mean,
        f"{title}, {REGION_NAMES[region]}",
        f"{source}; mean over cases",
        f"{title} {region.upper()}",
        **written,
    )


def _dice(region: str) -> Metric:
    return _outline("dice", "Dice", region, "Dice 1945", shown=Shown.EVERYWHERE)


def _hd95(region: str) -> Metric:
    shown = Shown.SUMMARY if region == "wt" else Shown.DETAIL
    source = "95th percentile of surface distances (BraTS)"
    return _outline("hd95", "HD95", region, source, digits=1, unit="mm", higher_is_better=False, shown=shown)


OUTLINES = registry([*map(_dice, REGIONS), *map(_hd95, REGIONS)])
GRADE_ECE = Metric(
    "grade_ece", ece, "grade ECE", "Guo et al. 2017, eq 3", higher_is_better=False, shown=Shown.EVERYWHERE
)
GRADES = registry(
    (
        Metric("grade_accuracy", accuracy, "grade accuracy", "share", "", 2, "%", shown=Shown.EVERYWHERE),
        Metric("grade_auc", of_both_grades(grade_auc), "grade AUC", "Hanley and McNeil 1982", shown=Shown.EVERYWHERE),
        Metric("grade_sensitivity", sensitivity, "sensitivity (HGG)", "share of HGG called HGG", "", 2, "%"),
        Metric("grade_specificity", specificity, "specificity (HGG)", "share of LGG called LGG", "", 2, "%"),
        Metric("grade_kappa", of_both_grades(kappa), "grade, Cohen's kappa", "Cohen 1960"),
        GRADE_ECE,
        temperature_scaled(GRADE_ECE),
    )
)
UNCERTAINTY = registry(
    (
        Metric(
            "uncertainty_error_auroc",
            voxel_error_auroc,
            "wrong voxels found by MC dropout (AUROC)",
            "area under the ROC curve of the entropy as a detector of wrong voxels",
        ),
    )
)
METRICS = OUTLINES | GRADES | UNCERTAINTY
COMPARED = names(METRICS.values(), Shown.EVERYWHERE)


def grade_scores(
    high: np.ndarray, p_hgg: np.ndarray, bins: int, weights: np.ndarray, p_scaled: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """The metrics GRADES, each [B]; NaN where undefined, such as for a network that does not grade.

    Args:
        high: [n] bool, whether the true grade is HGG.
        p_hgg: [n] probability of HGG, all NaN for a network that does not grade.
        bins: number of ECE bins.
        weights: [B, n].
        p_scaled: [n] the probability after temperature scaling; None: undefined.
    """
    undefined = np.full(len(weights), np.nan)
    plain, scaled = (_sample(high, p, bins, weights) for p in (p_hgg, p_scaled))
    chosen = {name: scaled if metric.scaled else plain for name, metric in GRADES.items()}
    return {name: GRADES[name].function(of) if of else undefined for name, of in chosen.items()}


def _sample(high: np.ndarray, p_hgg: np.ndarray | None, bins: int, weights: np.ndarray) -> Sample | None:
    """None without cases or probabilities."""
    if p_hgg is None or not len(high) or np.isnan(p_hgg).any():
        return None
    return Sample(high.astype(int), np.column_stack([1 - p_hgg, p_hgg]), weights, bins)
