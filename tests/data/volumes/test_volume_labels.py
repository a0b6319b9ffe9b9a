import numpy as np
import pytest

from btlib.data.volumes.labels import canonical, common_convention, fitting
from btlib.errors import InputError


@pytest.mark.parametrize(
    ("convention", "numbers", "expected"),
    [
        ("brats", [0, 1, 2, 4], [0, 1, 2, 3]),
        ("canonical", [0, 1, 2, 3], [0, 1, 2, 3]),
        ("msd", [0, 1, 2, 3], [0, 2, 1, 3]),  # the Decathlon's 1 is oedema
    ],
)
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_canonical_labels(convention, numbers, expected, kind):
    seg = canonical(np.array(numbers, kind).reshape(2, 2, 1), convention, "a_seg.nii.gz")
    assert seg.dtype == np.uint8
    assert seg.ravel().tolist() == expected


def test_numbers_that_scaling_has_bent():
    seg = canonical(np.float32([[[0, 1.0000001, 1.9999998, 3.9999995]]]), "brats", "a")
    assert seg.ravel().tolist() == [0, 1, 2, 3]


def test_the_conventions_that_fit():
    both = ("brats", "canonical")
    assert fitting(np.array([0, 1, 2]), both, "a") == ["brats", "canonical"]
    assert fitting(np.array([0, 2, 4]), both, "a") == ["brats"]
    assert fitting(np.array([0, 2, 3]), both, "a") == ["canonical"]


@pytest.mark.parametrize(
    ("numbers", "conventions", "message"),
    [
        ([0, 1, 7], ("brats", "canonical"), r"^a_seg: label 7 found.*0, 1, 2, 4 \(brats\) or 0, 1, 2, 3 \(canonical\)"),
        ([0, 1, 3, 4], ("brats", "canonical"), "^a_seg: label 1, 3, 4 found"),
        ([0, 1, 4], ("canonical",), r"label 4 found.*4 is the cavity of an operation"),
        ([0, -1], ("msd",), "label -1 found"),
        ([0, 1.5], ("brats",), r"label 1\.5 found"),
        ([0, np.nan], ("brats",), "label nan found.*renumber the labels or remove the file"),
    ],
)
def test_numbers_that_no_convention_knows(numbers, conventions, message):
    with pytest.raises(InputError, match=message):
        fitting(np.array(numbers, float), conventions, "a_seg")


def test_the_set_decides_what_3_is():
    either, old, new = ["brats", "canonical"], ["brats"], ["canonical"]
    assert common_convention([("a", either), ("b", either)]) == "brats"
    assert common_convention([("a", either), ("b", new)]) == "canonical"
    assert common_convention([("a", old), ("b", either)]) == "brats"
    with pytest.raises(InputError, match="in two ways: b 0, 1, 2, 4 and a 0, 1, 2, 3; renumber one kind"):
        common_convention([("a", new), ("b", old), ("c", new), ("d", either)])
