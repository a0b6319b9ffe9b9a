"""Logistic regression on features of masks: what it learns from, and how it chooses its penalty."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from btlib.core.runtime.errors import InputError
from btlib.core.runtime.reproducibility import keyed_rng
from btlib.volumes.data.store import Case
from btlib.volumes.training.mask_grader import STRENGTHS, MaskGrader, refuse_few_patients

LGG, HGG = 0, 1


def example(number, enhancing):
    """A case and its region probabilities: a ball of tumour, with or without an enhancing centre."""
    rng = keyed_rng(number, "example")
    distance = np.linalg.norm(np.indices((10, 10, 10)) - rng.uniform(4, 6, 3)[:, None, None, None], axis=0)
    regions = np.stack([distance < 3.5, distance < 2.5, (distance < 1.9) & enhancing]).astype(np.float32)
    image = rng.normal(0, 1, (4, 10, 10, 10)).astype(np.float16)
    affine = np.diag([3.0, 3.0, 3.0, 1.0])
    return Case(f"c{number}", image, None, affine, affine, (10, 10, 10)), regions


def separable(numbers):
    return [example(number, number % 2 == HGG) for number in numbers], np.array(numbers) % 2


def names(count):
    return np.array([f"p{number}" for number in range(count)], dtype=object)


def strength(grader) -> float:
    return grader.model[-1].C


def test_it_separates_grades_that_differ_in_enhancement():
    grader = MaskGrader(*separable(range(24)), names(24))
    masked, grades = separable(range(100, 120))
    p = np.stack([grader(case, regions) for case, regions in masked])
    assert p.shape == (20, 2) and p.dtype == np.float64
    np.testing.assert_allclose(p.sum(axis=1), 1)
    assert (p[grades == HGG, HGG] > 0.9).all() and (p[grades == LGG, HGG] < 0.1).all()


def test_the_answer_depends_on_the_masks_not_on_the_true_segmentation():
    grader = MaskGrader(*separable(range(24)), names(24))
    (case, without), (_, enhancing) = example(100, False), example(100, True)
    truth = case._replace(seg=np.full((10, 10, 10), 3, np.uint8))
    assert grader(truth, without)[HGG] < 0.1 < 0.9 < grader(truth, enhancing)[HGG]


def test_features_are_standardised_by_the_training_cases():
    masked, grades = separable(range(12))
    grader = MaskGrader(iter(masked), grades, names(12))
    assert grader.model[0].n_samples_seen_ == 12
    again = MaskGrader(masked, grades, names(12))
    np.testing.assert_array_equal(again(*masked[0]), grader(*masked[0]))


def test_without_a_relation_to_the_grade_the_strongest_penalty_wins():
    masked, grades = separable(range(12))
    assert strength(MaskGrader(masked, grades, names(12))) > STRENGTHS[0]
    both = np.repeat([LGG, HGG], 12)  # every case once with each grade
    assert strength(MaskGrader(2 * masked, both, names(24))) == STRENGTHS[0]


def test_a_patients_cases_stay_together_when_the_penalty_is_chosen():
    """Copies of a case in another fold would reward learning the cases by heart."""
    masked, _ = separable(range(12))
    copies = 3 * masked, np.tile(keyed_rng(3).permutation(np.arange(12) % 2), 3)
    together, apart = MaskGrader(*copies, np.tile(names(12), 3)), MaskGrader(*copies, names(36))
    assert strength(together) < strength(apart)


def test_grades_weigh_the_same_however_many_cases_they_have():
    """All features equal: only the intercept is left, which says 0.5 for balanced grades."""
    grades = np.array([HGG] * 15 + [LGG] * 5)
    p = MaskGrader(20 * [example(0, False)], grades, names(20))(*example(0, False))
    assert p == pytest.approx([0.5, 0.5], abs=1e-3)
    plain = LogisticRegression().fit(np.zeros((20, 1)), grades).predict_proba([[0]])[0]
    assert plain == pytest.approx([0.25, 0.75], abs=1e-3)


def test_masks_without_any_tumour_give_an_undecided_grade():
    masked, grades = separable(range(12))
    empty = [(case, np.zeros_like(regions)) for case, regions in masked]
    p = MaskGrader(empty, grades, names(12))(*empty[0])
    assert p == pytest.approx([0.5, 0.5], abs=1e-3)


def test_two_patients_of_a_grade_suffice_but_not_one():
    grades, patients = np.array([HGG] * 6 + [LGG] * 2), names(8)
    refuse_few_patients(grades, patients)
    masked, _ = separable(range(8))
    assert MaskGrader(masked, grades, patients)(*masked[0]).shape == (2,)
    with pytest.raises(InputError, match=r"'radiomics' needs 2 training patients of each grade, found 1 with LGG"):
        refuse_few_patients(grades, np.where(grades == LGG, "same", patients))
    with pytest.raises(InputError, match=r"found 0 with HGG"):
        refuse_few_patients(grades[6:], patients[6:])
