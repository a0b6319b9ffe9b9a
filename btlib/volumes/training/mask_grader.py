"""Grades from masks, by logistic regression on radiomics-like features: the conventional way after a segmentation."""

from collections.abc import Iterable

import numpy as np
from nibabel.affines import voxel_sizes
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, make_scorer
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from btlib.core.runtime.errors import InputError
from btlib.volumes.data.conventions import GRADES
from btlib.volumes.data.store import Case
from btlib.volumes.evaluation.masks import PLAIN, labels_of
from btlib.volumes.training.radiomics import tumor_features

FOLDS = 5
STRENGTHS = 10.0 ** np.arange(-4, 2)  # scikit-learn's C; a small one shrinks the coefficients more


class MaskGrader:
    """Standardisation and L2-penalised logistic regression on `tumor_features`.

    Both are fitted on the training cases only. C is the one with the lowest log loss in a cross-validation among them
    that keeps a patient's cases together; the folds are not drawn, so nothing here depends on a seed. Grades weigh the
    same, as in the loss of the networks.

    Args:
        masked: N training cases, each with its region probabilities [3, X, Y, Z]; read one by one.
        grades: [N] indices in GRADES.
        patients: [N] names.
    """

    def __init__(self, masked: Iterable[tuple[Case, np.ndarray]], grades: np.ndarray, patients: np.ndarray):
        model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000))
        folds = StratifiedGroupKFold(min(FOLDS, *_patients_of_each_grade(grades, patients)))
        # not "neg_log_loss", which refuses a fold with one grade
        loss = make_scorer(log_loss, greater_is_better=False, response_method="predict_proba", labels=[0, 1])
        search = GridSearchCV(model, {"logisticregression__C": STRENGTHS}, scoring=loss, cv=folds, error_score="raise")
        features = np.stack([_features(case, regions) for case, regions in masked])
        self.model = search.fit(features, grades, groups=patients).best_estimator_

    def __call__(self, case: Case, regions: np.ndarray) -> np.ndarray:
        """Probabilities float64 [2] of LGG and HGG, from the region probabilities of a case."""
        return self.model.predict_proba(_features(case, regions)[None])[0]


def refuse_few_patients(grades: np.ndarray, patients: np.ndarray) -> None:
    """Raises InputError unless there are two patients of each grade, one to fit on and one to choose C with."""
    for grade, number in zip(GRADES, _patients_of_each_grade(grades, patients), strict=True):
        if number < 2:
            raise InputError(
                f"joint.ablation.arms: grader 'radiomics' needs 2 training patients of each grade, found {number} with "
                f"{grade}; add graded cases, or remove the arm"
            )


def _patients_of_each_grade(grades: np.ndarray, patients: np.ndarray) -> list[int]:
    return [len(set(patients[grades == number])) for number in range(len(GRADES))]


def _features(case: Case, regions: np.ndarray) -> np.ndarray:
    labels = labels_of(regions, case.affine, PLAIN)
    return np.array(list(tumor_features(case.image, labels, voxel_sizes(case.affine)).values()))
