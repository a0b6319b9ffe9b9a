import cv2
import numpy as np
import pandas as pd
import pytest

from btlib.data.audit import contamination, group_numbers, label_conflicts, leaks_by_split, summary, without_conflicts
from btlib.data.classes import CLASSES
from btlib.data.hashing import difference_hash, turned_hashes
from btlib.errors import InputError


def far_hash(key: int) -> str:
    return np.random.default_rng(key).bytes(32).hex()


def flipped(phash: str, bits: int) -> str:
    return f"{int(phash, 16) ^ ((1 << bits) - 1):064x}"


def manifest(rows: list[tuple[str, str, str, str]]) -> pd.DataFrame:
    """Images whose other orientations look like nothing else; equal hashes have equal ones."""
    table = pd.DataFrame(rows, columns=["label", "patient", "sha256", "phash"])
    numbers = [int(phash, 16) % 2**32 for phash in table["phash"]]
    table["phash_turned"] = [np.random.default_rng((7, number)).bytes(7 * 32).hex() for number in numbers]
    return table.assign(path=[f"{k}.png" for k in range(len(table))], image_id=[f"i{k}" for k in range(len(table))])


A, B, C, D = (far_hash(k) for k in range(4))


def test_groups_join_patients_pixels_and_looks_transitively():
    table = manifest(
        [
            ("glioma", "P1", "s0", A),
            ("glioma", "P1", "s1", B),  # same patient as 0
            ("glioma", "", "s2", flipped(B, 12)),  # looks like 1
            ("glioma", "", "s2", C),  # same pixels as 2
            ("glioma", "", "s4", D),  # alone
            ("glioma", "", "s5", flipped(D, 13)),  # one bit too far from 4
        ]
    )
    assert group_numbers(table, 12).tolist() == [0, 0, 0, 0, 1, 2]
    assert group_numbers(table, 13).tolist() == [0, 0, 0, 0, 1, 1]


def test_unknown_patients_are_not_one_patient():
    assert group_numbers(manifest([("glioma", "", "s0", A), ("glioma", "", "s1", B)]), 12).tolist() == [0, 1]


def test_groups_do_not_depend_on_order():
    rng = np.random.default_rng(0)
    table = manifest([("glioma", f"P{rng.integers(9)}", f"s{rng.integers(30)}", far_hash(k % 25)) for k in range(40)])
    order = rng.permutation(40)
    here, there = group_numbers(table, 12)[order], group_numbers(table.iloc[order].reset_index(drop=True), 12)
    assert np.array_equal(here[:, None] == here[None], there[:, None] == there[None])


def test_same_pixels_under_two_labels_stop_the_run_and_name_the_files():
    table = manifest([("glioma", "", "s0", A), ("no_tumor", "", "s0", A), ("pituitary", "", "s1", B)])
    assert label_conflicts(table).tolist() == [True, True, False]
    with pytest.raises(InputError, match=r"0\.png \(glioma\) = 1\.png \(no_tumor\)") as caught:
        without_conflicts(table, allow=False)
    assert "images.allow_label_conflicts: true" in str(caught.value)
    assert without_conflicts(table, allow=True).path.tolist() == ["2.png"]


def test_look_alikes_under_two_labels_are_no_conflict_but_one_group():
    table = manifest([("glioma", "", "s0", A), ("no_tumor", "", "s1", flipped(A, 3))])
    assert not label_conflicts(table).any()
    assert group_numbers(table, 12).tolist() == [0, 0]


def test_contamination_by_hand():
    table = manifest(
        [
            ("glioma", "", "s0", A),
            ("glioma", "", "s1", flipped(A, 5)),
            ("glioma", "", "s2", B),
            ("glioma", "", "s2", B),
            ("glioma", "", "s4", C),
        ]
    )
    splits = {
        "near and equal": np.array(["train", "test", "train", "test", "test"]),
        "val is not train": np.array(["val", "test", "test", "test", "train"]),
    }
    for turned in (False, True):
        assert contamination(table, splits, 12, turned) == {"near and equal": 2 / 3, "val is not train": 0.0}
        assert contamination(table, splits, 4, turned)["near and equal"] == 1 / 3


def real_hashes(images: list[np.ndarray]) -> pd.DataFrame:
    table = manifest([("glioma", "", f"s{k}", difference_hash(image)) for k, image in enumerate(images)])
    return table.assign(phash_turned=[turned_hashes(image) for image in images])


def test_mirrored_and_turned_copies_belong_together():
    picture, other = (noise_picture(k) for k in (0, 1))
    table = real_hashes([picture, picture[:, ::-1], other, np.rot90(picture), picture[::-1], noise_picture(2)])
    assert group_numbers(table, 12).tolist() == [0, 0, 1, 0, 0, 2]
    splits = {"leaks": np.array(["train", "test", "train", "test", "test", "test"])}
    assert contamination(table, splits, 12, turned=False) == {"leaks": 0}
    assert contamination(table, splits, 12, turned=True) == {"leaks": 3 / 4}
    counts = summary(table.assign(group=group_numbers(table, 12)), 12)
    assert counts["turned_near_duplicate_images"] == 4 and counts["near_duplicate_images"] == 0


def test_a_symmetric_picture_is_not_its_own_copy():
    half = noise_picture(3)[:, :32]
    table = real_hashes([np.concatenate([half, half[:, ::-1]], axis=1), noise_picture(4)])
    assert group_numbers(table, 12).tolist() == [0, 1]
    assert summary(table.assign(group=[0, 1]), 12)["turned_near_duplicate_images"] == 0


def noise_picture(key: int) -> np.ndarray:
    """Smooth random blobs [64, 64, 3], without symmetry."""
    coarse = np.random.default_rng(key).integers(0, 256, (9, 9), dtype=np.uint8)
    return np.repeat(cv2.resize(coarse, (64, 64), interpolation=cv2.INTER_CUBIC)[..., None], 3, axis=2)


def test_summary_by_hand():
    table = manifest(
        [
            ("glioma", "P1", "s0", A),
            ("glioma", "P2", "s0", A),
            ("no_tumor", "", "s2", flipped(A, 12)),
            ("pituitary", "", "s3", C),
        ]
    ).assign(group=[0, 0, 0, 1])
    assert summary(table, 12) == {
        "images": 4,
        "classes": {"glioma": 2, "meningioma": 0, "no_tumor": 1, "pituitary": 1},
        "patients": 2,
        "exact_duplicate_groups": 1,
        "exact_duplicate_images": 2,
        "near_duplicate_images": 3,
        "turned_near_duplicate_images": 0,
        "near_duplicate_label_conflicts": 3,
        "groups": 2,
        "largest_group": 3,
    }
    assert summary(table, 11)["near_duplicate_images"] == 2


def paired_set(pairs_per_class: int) -> pd.DataFrame:
    """Two re-encoded copies of every picture."""
    rows = []
    for k in range(pairs_per_class * len(CLASSES)):
        label, phash = CLASSES[k % len(CLASSES)], far_hash(100 + k)
        rows += [(label, "", f"a{k}", phash), (label, "", f"b{k}", flipped(phash, 4))]
    table = manifest(rows)
    return table.assign(group=group_numbers(table, 12))


def test_the_image_split_leaks_and_the_group_split_does_not():
    leaks = leaks_by_split(paired_set(25), "group", 0, 12)
    for turned in (False, True):
        assert leaks[turned]["group"] == 0
        assert leaks[turned]["image"] > 0.5
        assert leaks[turned]["folder"] is None
    assert leaks_by_split(paired_set(25), "image", 0, 12) == leaks


def test_a_split_that_is_not_in_use_may_be_impossible():
    table = paired_set(2)  # four images but two groups of each class
    leaks = leaks_by_split(table, "image", 0, 12)
    assert leaks[True]["group"] is None
    assert 0 <= leaks[True]["image"] <= 1
    with pytest.raises(InputError, match=r"glioma: 2 group\(s\)"):
        leaks_by_split(table, "group", 0, 12)
