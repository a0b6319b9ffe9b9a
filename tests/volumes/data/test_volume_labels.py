import numpy as np
import pytest

from btlib.core.runtime.errors import InputError
from btlib.volumes.data.labels import CONVENTIONS, canonical, common_convention, fitting, named, numbering, renumbered


@pytest.mark.parametrize(
    ("convention", "numbers", "expected"),
    [
        ("brats", [0, 1, 2, 4], [0, 1, 2, 3]),
        ("canonical", [0, 1, 2, 3], [0, 1, 2, 3]),
        ("msd", [0, 1, 2, 3], [0, 2, 1, 3]),  # the Decathlon's 1 is oedema
        ("ped", [4, 3, 2, 1], [2, 1, 1, 3]),  # a cyst is core
        ("post_treatment", [4, 1, 2, 3], [0, 1, 2, 3]),  # a cavity is not tumour
        ("brats2015", [1, 2, 3, 4], [1, 2, 1, 3]),
        ("7 edema, 9 necrotic_core", [0, 7, 9, 7], [0, 2, 1, 2]),
    ],
)
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_canonical_labels(convention, numbers, expected, kind):
    seg = canonical(np.array(numbers, kind).reshape(2, 2, 1), convention, "a_seg.nii.gz")
    assert seg.dtype == np.uint8
    assert seg.ravel().tolist() == expected


def test_numbers_altered_by_scaling():
    seg = canonical(np.float32([[[0, 1.0000001, 1.9999998, 3.9999995]]]), "brats", "a")
    assert seg.ravel().tolist() == [0, 1, 2, 3]


def test_fitting_conventions():
    both = ("brats", "canonical")
    assert fitting(np.array([0, 1, 2]), both, "a") == ["brats", "canonical"]
    assert fitting(np.array([0, 2, 4]), both, "a") == ["brats"]
    assert fitting(np.array([0, 2, 3]), both, "a") == ["canonical"]


@pytest.mark.parametrize(
    ("numbers", "conventions", "message"),
    [
        (
            [0, 1, 7],
            ("brats", "canonical"),
            r"^a_seg: unknown label 7.*0, 1, 2, 4 \(brats\) or 0, 1, 2, 3 \(canonical\)",
        ),
        (
            [0, 1, 3, 4],
            ("brats", "canonical"),
            r"^a_seg: unknown label 1, 3, 4.*set volumes\.labels to the meaning of the numbers, as ped \(1 enhancing, "
            r"2 necrotic_core, 3 necrotic_core, 4 edema\) or post_treatment \(.*4 background\) or brats2015",
        ),
        ([0, -1], ("msd",), "unknown label -1"),
        ([0, 1.5], ("brats",), r"unknown label 1\.5"),
        ([0, np.nan], ("brats",), "unknown label nan.*renumber the labels or remove the file"),
    ],
)
def test_numbers_in_no_convention(numbers, conventions, message):
    with pytest.raises(InputError, match=message):
        fitting(np.array(numbers, float), conventions, "a_seg")


def test_set_decides_the_meaning_of_3():
    either, old, new = ["brats", "canonical"], ["brats"], ["canonical"]
    assert common_convention([("a", either), ("b", either)]) == "brats"
    assert common_convention([("a", either), ("b", new)]) == "canonical"
    assert common_convention([("a", old), ("b", either)]) == "brats"
    with pytest.raises(InputError, match="two numberings: b 0, 1, 2, 4 and a 0, 1, 2, 3; renumber one kind"):
        common_convention([("a", new), ("b", old), ("c", new), ("d", either)])


@pytest.mark.parametrize("name", CONVENTIONS)
def test_a_numbering_and_its_name(name):
    assert named(numbering(name)) == name


def test_a_numbering_without_a_name_is_spelled_out():
    text = named({0: 0, 7: 2, 5: 1, 9: 0})
    assert text == "5 necrotic_core, 7 edema, 9 background"
    assert numbering(text) == {0: 0, 5: 1, 7: 2, 9: 0}


@pytest.mark.parametrize(
    ("convention", "expected"),
    [
        ("brats", [0, 1, 2, 4]),
        ("msd", [0, 2, 1, 3]),
        ("ped", [0, 2, 4, 1]),
        ("post_treatment", [0, 1, 2, 3]),
        ("brats2015", [0, 1, 2, 4]),
        ("5 enhancing, 6 edema, 8 necrotic_core", [0, 8, 6, 5]),
    ],
)
def test_renumbering_canonical_labels(convention, expected):
    labels = np.arange(4, dtype=np.uint8).reshape(2, 1, 2)
    numbers = renumbered(labels, convention)
    assert (numbers.dtype, numbers.ravel().tolist()) == (np.uint8, expected)
    assert (canonical(numbers, convention, "a") == labels).all()


def test_tissue_without_a_number():
    assert renumbered(np.uint8([0, 2]), "1 edema").tolist() == [0, 1]
    with pytest.raises(InputError, match="300 necrotic_core has no number up to 255 for necrotic_core and"):
        renumbered(np.uint8([1, 2, 3]), "1 edema, 300 necrotic_core")
