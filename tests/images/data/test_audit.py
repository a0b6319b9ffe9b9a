from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from btlib.core.runtime.errors import InputError
from btlib.core.settings.schema import read_params
from btlib.images.data.audit import (
    MEASURED,
    contamination,
    group_numbers,
    in_use,
    label_conflicts,
    leaks_by_split,
    summary,
    with_links,
    without_conflicts,
)
from btlib.images.data.classes import CLASSES
from btlib.images.data.hashing import difference_hash, turned_hashes
from btlib.images.data.links import COLUMNS
from btlib.images.data.splits import Deal

SAME_PATIENT = read_params(Path(__file__).parents[3] / "params.yaml").images.reference.same_patient


def far_hash(key: int) -> str:
    return np.random.default_rng(key).bytes(32).hex()


def flipped(phash: str, bits: int) -> str:
    return f"{int(phash, 16) ^ ((1 << bits) - 1):064x}"


def manifest(rows: list[tuple[str, str, str, str]]) -> pd.DataFrame:
    """Images whose other orientations match no others; equal hashes have equal ones."""
    table = pd.DataFrame(rows, columns=["label", "patient", "sha256", "phash"])
    numbers = [int(phash, 16) % 2**32 for phash in table["phash"]]
    table["phash_turned"] = [np.random.default_rng((7, number)).bytes(7 * 32).hex() for number in numbers]
    return table.assign(path=[f"{k}.png" for k in range(len(table))], image_id=[f"i{k}" for k in range(len(table))])


A, B, C, D = (far_hash(k) for k in range(4))


def test_groups_join_patients_pixels_and_near_copies_transitively():
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


def test_near_copies_under_two_labels_are_one_group_without_conflict():
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
        assert contamination(table, splits, 12, turned) == {"near and equal": 2, "val is not train": 0}
        assert contamination(table, splits, 4, turned)["near and equal"] == 1


def real_hashes(images: list[np.ndarray]) -> pd.DataFrame:
    table = manifest([("glioma", "", f"s{k}", difference_hash(image)) for k, image in enumerate(images)])
    return table.assign(phash_turned=[turned_hashes(image) for image in images])


def test_mirrored_and_rotated_copies_are_grouped():
    picture, other = (noise_picture(k) for k in (0, 1))
    table = real_hashes([picture, picture[:, ::-1], other, np.rot90(picture), picture[::-1], noise_picture(2)])
    assert group_numbers(table, 12).tolist() == [0, 0, 1, 0, 0, 2]
    splits = {"leaks": np.array(["train", "test", "train", "test", "test", "test"])}
    assert contamination(table, splits, 12, turned=False) == {"leaks": 0}
    assert contamination(table, splits, 12, turned=True) == {"leaks": 3}
    counts = summary(table.assign(group=group_numbers(table, 12)), 12)
    assert counts["turned_near_duplicate_images"] == 4 and counts["near_duplicate_images"] == 0


def test_symmetric_picture_is_not_its_own_copy():
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
        "images_without_patient": 2,
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
    assert tuple(leaks) == MEASURED and leaks["folder"] is None and leaks["file"] is None
    for key in ("near_copy", "near_copy_any_orientation"):
        assert leaks["group"][key] == 0
        assert leaks["image"][key] > 0.5 * leaks["image"]["test"]
    assert leaks["near_copy"] == leaks["group"], "identical without patients"
    assert leaks["image"]["test"] == 20  # a tenth of 200
    assert leaks_by_split(paired_set(25), "image", 0, 12) == leaks


def test_unused_split_may_be_impossible():
    table = paired_set(2)  # four images but two groups of each class
    leaks = leaks_by_split(table, "image", 0, 12)
    assert leaks["group"] is None
    assert 0 <= leaks["image"]["near_copy"] <= leaks["image"]["test"]
    with pytest.raises(InputError, match=r"glioma: 2 group\(s\)"):
        leaks_by_split(table, "group", 0, 12)


def test_leaks_by_hand():
    """Five images per class; one tested glioma is a near copy of one in train, another shares its slice."""
    rows = [
        (label, f"P-{label}-{n}", f"{label}{n}", far_hash(hash_key(label, n))) for label in CLASSES for n in range(5)
    ]
    table = manifest(rows)
    table["slice"], table["slice_patient"] = "", ""
    own = np.array(["train", "train", "val", "test", "test"] * 4, dtype=object)
    gliomas = table.index[table["label"] == "glioma"]
    first, other, _, tested, second = gliomas
    table.loc[tested, "phash"] = flipped(table.loc[first, "phash"], 3)
    table.loc[[first, second], "slice"] = "7.mat"
    table.loc[[other, tested], "patient"] = "shared"
    table.loc[second, "patient"] = ""
    table["group"] = group_numbers(table, 12)
    leaks = leaks_by_split(table.assign(patient=""), "file", 0, 12, own=own)["file"]
    expected = {"test": 8, "near_copy": 1, "near_copy_any_orientation": 1, "same_slice": 1}
    assert leaks == expected | {"same_patient": 0, "known_patient": 0}
    with pytest.raises(InputError, match="shared: test, train"):
        leaks_by_split(table, "file", 0, 12, own=own)
    leaks = leaks_by_split(table, "image", 0, 12, own=own)
    assert leaks["file"] is None, "it would divide a patient"
    assert leaks["image"]["known_patient"] in (3, 4)  # one test image per class, and one glioma without patient


def hash_key(label: str, number: int) -> int:
    return 1000 * (1 + CLASSES.index(label)) + number


def test_only_full_groups_keep_patients_apart():
    patients = {label: [f"{label}{n % 6}" for n in range(60)] for label in CLASSES}
    rows = [
        (label, patients[label][n], f"{label}{n}", far_hash(hash_key(label, n))) for label in CLASSES for n in range(60)
    ]
    table = manifest(rows)
    table["group"] = group_numbers(table, 12)
    leaks = leaks_by_split(table, "group", 0, 12)
    assert leaks["near_copy"]["same_patient"] == leaks["near_copy"]["known_patient"] == leaks["near_copy"]["test"]
    assert leaks["group"]["same_patient"] == 0 and leaks["group"]["known_patient"] == leaks["group"]["test"] > 0
    assert all(leaks[kind]["near_copy_any_orientation"] == 0 for kind in ("image", "near_copy", "group"))


def test_leaks_of_a_fold():
    leaks = leaks_by_split(paired_set(25), "group", 0, 12, Deal(folds=5, fold=2))
    assert leaks["image"]["test"] == 40 and leaks["group"]["test"] == pytest.approx(40, abs=8)
    assert leaks["group"]["near_copy_any_orientation"] == 0 < leaks["image"]["near_copy"]


def test_headline_shares_are_those_of_the_split_in_use():
    counts = {"test": 8, "near_copy": 2, "near_copy_any_orientation": 6}
    leaks = {"image": counts, "folder": None, "group": counts | {"near_copy": 0, "near_copy_any_orientation": 0}}
    assert in_use(leaks, "image") == {
        "test_near_duplicates_in_train": 0.25,
        "test_near_duplicates_in_train_by_split": {"image": 0.25, "folder": None, "group": 0},
        "test_near_duplicates_in_train_any_orientation": 0.75,
        "test_near_duplicates_in_train_any_orientation_by_split": {"image": 0.75, "folder": None, "group": 0},
    }
    assert in_use(leaks, "group")["test_near_duplicates_in_train_any_orientation"] == 0


def links(*rows: tuple[str, str, str, str]) -> pd.DataFrame:
    """Links from rows of (image_id, slice, its patient, its label)."""
    table = pd.DataFrame(rows, columns=["image_id", "reference", "patient", "label"])
    return table.assign(orientation=0, distance=0, correlation=1.0)[list(COLUMNS)]


def test_links_fill_in_only_missing_patients_and_masks():
    table = manifest(
        [("glioma", "own", "s0", A), ("glioma", "", "s1", B), ("glioma", "", "s2", C), ("no_tumor", "", "s3", D)]
    )
    table["mask_path"] = ["own.png", "", "", ""]
    found = links(("i1", "7.mat", "P7", "glioma"), ("i0", "8.mat", "P8", "glioma"), ("i2", "9.mat", "P9", "glioma"))
    full = with_links(table, found, {"i0", "i1"}, "$^")
    assert full["patient"].tolist() == ["own", "P7", "P9", ""]
    assert full["mask_path"].tolist() == ["own.png", "link:i1", "", ""]
    assert full["slice"].tolist() == ["8.mat", "7.mat", "9.mat", ""]
    assert full["slice_patient"].tolist() == ["P8", "P7", "P9", ""]
    assert full["slice_label"].tolist() == ["glioma"] * 3 + [""]
    assert table["patient"].tolist() == ["own", "", "", ""], "the given table is unchanged"
    bare = with_links(table, links(), set(), "$^")
    assert bare["patient"].tolist() == table["patient"].tolist() and (bare["slice"] == "").all()


def test_patients_differing_in_a_trailing_letter_are_the_same():
    patients = ["MR050791", "MR050791B", "abc", "abd", "MR050791BC", "7", "A"]
    table = manifest([("glioma", patient, f"s{k}", far_hash(20 + k)) for k, patient in enumerate(patients)])
    full = with_links(table.assign(mask_path=""), links(), set(), SAME_PATIENT)
    assert full["patient"].tolist() == ["MR050791", "MR050791", "abc", "abd", "MR050791BC", "7", "A"]
    assert group_numbers(full, 12).tolist() == [0, 0, 1, 2, 3, 4, 5]
    as_they_are = with_links(table.assign(mask_path=""), links(), set(), "$^")
    assert as_they_are["patient"].tolist() == patients
    assert with_links(table.assign(mask_path=""), links(), set(), ".*")["patient"].tolist() == patients, (
        "no id becomes empty"
    )


def test_groups_join_slices_and_their_patients():
    rows = [("glioma", "", f"s{k}", far_hash(40 + k)) for k in range(6)]
    rows[5] = ("glioma", "P1", "s5", far_hash(45))  # same patient name in data and reference
    found = links(
        ("i0", "1.mat", "P1", "glioma"),
        ("i1", "1.mat", "P1", "glioma"),  # same slice
        ("i2", "2.mat", "P1B", "glioma"),  # another slice of the patient
        ("i3", "3.mat", "P2", "glioma"),
    )
    full = with_links(manifest(rows).assign(mask_path=""), found, set(), SAME_PATIENT)
    assert group_numbers(full, 12).tolist() == [0, 0, 0, 1, 2, 0]


def test_common_slice_groups_images_of_two_patients():
    rows = [("glioma", "X", "s0", A), ("glioma", "Y", "s1", B), ("glioma", "Z", "s2", C)]
    found = links(("i0", "1.mat", "P1", "glioma"), ("i1", "1.mat", "P1", "glioma"))
    full = with_links(manifest(rows).assign(mask_path=""), found, set(), "$^")
    assert full["patient"].tolist() == ["X", "Y", "Z"]
    assert group_numbers(full, 12).tolist() == [0, 0, 1]


def test_a_slice_of_another_label_is_a_conflict_of_all_its_images():
    table = manifest(
        [("glioma", "", "s0", A), ("meningioma", "", "s1", B), ("pituitary", "", "s2", C), ("glioma", "", "s3", D)]
    )
    found = links(
        ("i0", "7.mat", "P7", "glioma"),
        ("i1", "7.mat", "P7", "glioma"),  # the wrong one
        ("i2", "8.mat", "P8", "pituitary"),
    )
    full = with_links(table.assign(mask_path=""), found, set(), "$^")
    assert not label_conflicts(table).any()
    assert label_conflicts(full).tolist() == [True, True, False, False]
    with pytest.raises(InputError, match=r"1 image\(s\) appear under more than one label") as caught:
        without_conflicts(full, allow=False)
    assert "0.png (glioma) = 1.png (meningioma) = 7.mat of the reference (glioma)" in str(caught.value)
    assert without_conflicts(full, allow=True)["path"].tolist() == ["2.png", "3.png"]


def test_conflict_of_a_single_image_with_its_slice():
    found = links(("i0", "7.mat", "P7", "glioma"))
    full = with_links(manifest([("no_tumor", "", "s0", A)]).assign(mask_path=""), found, set(), "$^")
    with pytest.raises(InputError, match=r"0\.png \(no_tumor\) = 7\.mat of the reference \(glioma\)"):
        without_conflicts(full, allow=False)
