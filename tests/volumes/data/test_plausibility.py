"""Check of numberings against scans: signs by hand, and every permutation of every numbering detected."""

from itertools import permutations

import numpy as np
import pytest

from btlib.core.runtime.errors import InputError
from btlib.volumes.data.label_signs import Signs, signs_of
from btlib.volumes.data.labels import CONVENTIONS, EDEMA, ENHANCING, NECROTIC_CORE, TISSUE, named, numbering
from btlib.volumes.data.plausibility import check_numbering, contradictions

GLIOMA = {  # as in real ones: low-grade ones take up no contrast
    NECROTIC_CORE: Signs(depth=1.5, flair=4.0, uptake=0.0, touching={}),
    EDEMA: Signs(depth=0.7, flair=3.5, uptake=-0.2, touching={}),
    ENHANCING: Signs(depth=1.3, flair=4.5, uptake=2.0, touching={}),
}
LAYOUT = ("brats", "canonical")
PERMUTATIONS = list(permutations((NECROTIC_CORE, EDEMA, ENHANCING)))  # the first is canonical


def case(labels, tissues=(NECROTIC_CORE, EDEMA, ENHANCING)):
    """A glioma in a data set with this numbering."""
    seen = {number: label or NECROTIC_CORE for number, label in numbering(labels).items() if number}  # also a cavity
    return {number: GLIOMA[label] for number, label in seen.items() if label in tissues}


def slab():
    """A tumour of 3 × 3 × 5 voxels, 7 in the middle layer in x and 2 in the outer two, and its scans."""
    numbers = np.zeros((5, 5, 7), np.int32)
    numbers[1:4, 1:4, 1:6] = 2
    numbers[2, 1:4, 1:6] = 7
    normal = np.arange(numbers.size, dtype=np.float32).reshape(numbers.shape) % 2 * 2 + 9  # 9 and 11: quartiles
    return numbers, {name: normal.copy() for name in ("t1", "t1ce", "flair")}


def test_positions_of_numbers():
    numbers, images = slab()
    found = signs_of(images, numbers, np.ones(3))
    # all 30 voxels of 2 and 12 of 7 are at the surface; the other 3 are 2 voxels deep
    mean = (30 + 12 + 3 * 2) / 45
    assert found[2].depth == pytest.approx(1 / mean)
    assert found[7].depth == pytest.approx((12 + 3 * 2) / 15 / mean)
    # 7 has 30 faces with 2, and with the outside its border of 2 × (3 + 5); 2 in each layer 15 more
    assert found[7].touching == {2: pytest.approx(30 / 46)}
    assert found[2].touching == {7: pytest.approx(30 / (30 + 30 + 32))}


def test_brightness_of_numbers():
    numbers, images = slab()
    images["flair"][numbers == 2] = 12
    images["t1ce"][numbers == 7] = 13
    found = signs_of(images, numbers, np.ones(3))
    deviation = 2 / 1.349  # from the quartiles 9 and 11, by the normal distribution
    middle = np.median(images["flair"][numbers == 0])
    assert found[2].flair == pytest.approx((12 - middle) / deviation)
    assert found[7].uptake == pytest.approx((13 - np.mean(images["t1"][numbers == 7])) / deviation)
    assert found[2].uptake == 0


def test_few_voxels_are_not_informative():
    numbers, images = slab()
    numbers[numbers == 7] = 0
    numbers[2, 2, 1:6] = 7
    assert list(signs_of(images, numbers, np.ones(3))) == [2]
    assert signs_of(images, numbers * 0, np.ones(3)) == {}


@pytest.mark.parametrize("labels", [*CONVENTIONS, *(named(dict(zip((1, 2, 3), p, strict=True))) for p in PERMUTATIONS)])
def test_correct_numbering_is_accepted_silently(labels):
    assert check_numbering(labels, (labels,), [case(labels)]) == []


@pytest.mark.parametrize("right", PERMUTATIONS[1:])
def test_every_other_order_of_three_numbers_is_detected(right):
    labels = named(dict(zip((1, 2, 3), right, strict=True)))
    pairs = ", ".join(f"{number}: {TISSUE[label]}" for number, label in enumerate(right, 1))
    state = labels if labels in CONVENTIONS else f"{{{pairs}}}"
    with pytest.raises(InputError) as caught:
        check_numbering("canonical", LAYOUT, [case(labels)])
    assert "read as canonical (1 necrotic_core, 2 edema, 3 enhancing), but" in str(caught.value)
    assert "fits the scans better (in 1 case(s)" in str(caught.value)
    assert f"volumes.labels: {state} or canonical" in str(caught.value)


@pytest.mark.parametrize(
    ("assumed", "right"),
    [("brats2015", "ped"), ("ped", "post_treatment"), ("post_treatment", "brats2015"), ("post_treatment", "ped")],
)
def test_other_convention_of_four_numbers_is_detected(assumed, right):
    with pytest.raises(InputError, match=rf"read as {assumed} .*, but {right} .* fits the scans better"):
        check_numbering(assumed, (assumed,), [case(right)])


def test_newer_file_names_with_4_for_enhancing_tumor():
    with pytest.raises(
        InputError, match=r"read as post_treatment .*, but brats \(1 necrotic_core, 2 edema, 4 enhancing\) fits"
    ):
        check_numbering("post_treatment", ("canonical", "post_treatment"), [case("brats")])


def test_a_set_without_enhancing_tumor():
    low_grade = [case("canonical", (NECROTIC_CORE, EDEMA))]
    assert check_numbering("canonical", LAYOUT, low_grade) == []
    with pytest.raises(InputError, match=r"but brats .* fits the scans better"):
        check_numbering("msd", ("msd",), low_grade)


def test_whole_set_decides():
    odd = {1: GLIOMA[EDEMA], 2: GLIOMA[NECROTIC_CORE], 3: GLIOMA[ENHANCING]}
    assert check_numbering("canonical", LAYOUT, [odd, *[case("canonical")] * 3]) == []
    with pytest.raises(InputError, match=r"but msd .* fits"):
        check_numbering("canonical", LAYOUT, [case("canonical"), *[odd] * 3])


def test_inconclusive_scans():
    alike = Signs(depth=1.0, flair=3.0, uptake=0.0, touching={})
    with pytest.raises(InputError, match=r"fits the scans about as well .*set the right one in params\.yaml"):
        check_numbering("canonical", LAYOUT, [{1: alike, 2: alike._replace(depth=1.01)}])
    (warning,) = check_numbering("canonical", LAYOUT, [{1: alike, 2: alike._replace(depth=0.95)}])
    assert "fits the scans about as well" in warning
    (warning,) = check_numbering("canonical", LAYOUT, [{1: alike}, {}])
    assert (
        "the labels are read as canonical (1 necrotic_core, 2 edema, 3 enhancing); no segmentation has two numbers"
        in warning
    )


def test_case_from_another_set_is_named():
    cases = {"a_seg": case("canonical"), "b_seg": case("msd"), "c_seg": case("canonical"), "empty_seg": {}}
    (fault,) = contradictions("canonical", LAYOUT, cases)
    assert fault.startswith("b_seg: the labels of its set are read as canonical (")
    assert "but msd (1 edema, 2 necrotic_core, 3 enhancing) fits the scans of this case better (in 1 case(s)" in fault
    assert fault.endswith("overlay it on the scans, and renumber the file if that is so")


def test_enhancing_tumor_that_a_set_would_read_as_a_cavity():
    (fault,) = contradictions("post_treatment", ("canonical", "post_treatment"), {"old_seg": case("brats")})
    assert "but brats (1 necrotic_core, 2 edema, 4 enhancing) fits" in fault


@pytest.mark.parametrize("labels", CONVENTIONS)
def test_no_case_contradicts_its_own_convention(labels):
    assert contradictions(labels, (labels,), {"whole": case(labels), "low": case(labels, (NECROTIC_CORE, EDEMA))}) == []


def test_untypical_case_is_not_taken_for_an_unknown_numbering():
    """As in a bleeding core: what is named enhancing takes up no contrast, and the core seems to."""
    odd = {1: GLIOMA[ENHANCING], 2: GLIOMA[EDEMA], 4: GLIOMA[NECROTIC_CORE]}
    assert contradictions("brats", LAYOUT, {"odd_seg": odd}) == []
