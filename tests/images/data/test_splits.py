import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split

from btlib.core.runtime.dealing import SPLITS
from btlib.core.runtime.errors import InputError
from btlib.images.data.classes import CLASSES
from btlib.images.data.splits import PAPER, Deal, class_counts, rows_of, shares, split


def labels_of(sizes) -> pd.Series:
    return pd.Series(np.repeat(CLASSES[: len(sizes)], sizes), name="label")


def ungrouped(sizes) -> pd.DataFrame:
    labels = labels_of(sizes)
    return pd.DataFrame({"label": labels, "group": np.arange(len(labels))})


def test_paper_table_2_exactly():
    table = ungrouped((1621, 1645, 2000, 1757))
    counts = class_counts(table["label"], split(table, "image", seed=0))
    assert counts == {
        "train": {"glioma": 1297, "meningioma": 1316, "no_tumor": 1600, "pituitary": 1405},
        "val": {"glioma": 162, "meningioma": 164, "no_tumor": 200, "pituitary": 176},
        "test": {"glioma": 162, "meningioma": 165, "no_tumor": 200, "pituitary": 176},
    }


def test_totals_of_the_public_copy():
    assert shares(np.array([1621, 1645, 1996, 1757])).sum(axis=1).tolist() == [5615, 702, 702]


@pytest.mark.parametrize("sizes", [(1621, 1645, 2000, 1757), (101, 57, 330, 99), (40, 60, 50, 70)])
def test_shares_equal_two_scikit_learn_calls(sizes):
    labels = labels_of(sizes)
    train, held = train_test_split(labels, test_size=0.2, stratify=labels, random_state=0)
    val, test = train_test_split(held, test_size=0.5, stratify=held, random_state=0)
    expected = np.array([[(part == name).sum() for name in CLASSES] for part in (train, val, test)])
    ours = shares(np.array(sizes))
    assert np.array_equal(ours.sum(axis=1), expected.sum(axis=1))
    assert abs(ours - expected).max() <= 1  # scikit-learn breaks ties at random
    if sizes[0] == 1621:
        assert np.array_equal(ours, expected)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(3, 500), min_size=1, max_size=4))
def test_shares_are_integers_present_and_near_80_10_10(sizes):
    got = shares(np.array(sizes))
    assert np.array_equal(got.sum(axis=0), sizes)
    assert got.min() >= 1
    assert (np.abs(got - np.outer([0.8, 0.1, 0.1], sizes)) <= 2).all()
    assert np.array_equal(got, shares(np.array(sizes), Deal(0.1, 0.1)))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(3, 500), min_size=1, max_size=4), st.sampled_from([0.05, 0.1, 0.2, 0.3]), st.booleans())
def test_other_shares(sizes, val, more_test):
    test = val * 2 if more_test else val / 2
    got = shares(np.array(sizes), Deal(val, test))
    assert np.array_equal(got.sum(axis=0), sizes)
    assert got.min() >= 1
    assert (np.abs(got - np.outer([1 - val - test, val, test], sizes)) <= 2.5).all()


@pytest.mark.parametrize("split_by", ["image", "group"])
def test_a_split_by_other_shares(split_by):
    counts = class_counts(labels_of((200,) * 4), split(ungrouped((200,) * 4), split_by, 0, Deal(val=0.05, test=0.25)))
    assert counts == {name: dict.fromkeys(CLASSES, n) for name, n in (("train", 140), ("val", 10), ("test", 50))}


def test_image_split_depends_only_on_the_seed():
    table = ungrouped((40, 50, 60, 70))
    assert np.array_equal(split(table, "image", 3), split(table, "image", 3))
    assert (split(table, "image", 3) != split(table, "image", 4)).any()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(1, 30), min_size=3, max_size=60), min_size=2, max_size=4))
def test_group_split_keeps_groups_together_and_all_classes_in_every_split(group_sizes):
    groups = [(label, size) for label, sizes in zip(CLASSES, group_sizes, strict=False) for size in sizes]
    rows = [(label, group) for group, (label, size) in enumerate(groups) for _ in range(size)]
    table = pd.DataFrame(rows, columns=["label", "group"])
    assigned = split(table, "group", 0)
    assert table.assign(split=assigned).groupby("group")["split"].nunique().max() == 1
    counts = pd.crosstab(table["label"], assigned)
    assert (counts[list(SPLITS)] > 0).all(axis=None)


def test_group_split_is_stratified_with_patients_and_pairs():
    rng = np.random.default_rng(0)
    rows, group = [], 0
    for label, total in zip(CLASSES, (1426, 708, 2000, 930), strict=True):
        while total > 0:
            size = min(total, int(rng.choice([1, 1, 2, 13, 30])))
            rows += [(label, group)] * size
            group += 1
            total -= size
    table = pd.DataFrame(rows, columns=["label", "group"])
    counts = pd.crosstab(table["label"], split(table, "group", 1), normalize="index")
    assert (counts["train"] - 0.8).abs().max() < 0.01
    assert (counts[["val", "test"]] - 0.1).abs().max(axis=None) < 0.01


def test_a_large_group_goes_to_train():
    table = ungrouped((100, 100, 100, 100))
    table.loc[:59, "group"] = 0
    assigned = split(table, "group", 0)
    assert set(assigned[:60]) == {"train"}
    assert class_counts(table["label"], assigned)["test"]["glioma"] == pytest.approx(10, abs=2)


def test_groups_may_span_classes():
    table = ungrouped((50, 50, 50, 50))
    table["group"] = np.tile(np.arange(50), 4)  # each group has one image of every class
    counts = class_counts(table["label"], split(table, "group", 0))
    assert all(set(classes.values()) == {n} for classes, n in zip(counts.values(), (40, 5, 5), strict=True))


@pytest.mark.parametrize("split_by", ["image", "group"])
def test_a_class_with_fewer_images_than_splits(split_by):
    with pytest.raises(InputError, match=rf"too few .*train, val, test.*\n  - no_tumor: 2 {split_by}\(s\)"):
        split(ungrouped((10, 10, 2, 10)), split_by, 0)


def test_too_few_groups_despite_enough_images():
    table = ungrouped((10, 10, 10, 10))
    table.loc[:9, "group"] = 0
    with pytest.raises(InputError, match=r"glioma: 1 group\(s\)[\s\S]*split_by: image"):
        split(table, "group", 0)


def test_groups_that_cannot_be_split():
    # Glioma separates groups 0, 1, 2 and meningioma 0, 1, 3, so 2 and 3 share a split; no_tumor separates them.
    groups = {"glioma": (0, 1, 2), "meningioma": (0, 1, 3), "no_tumor": (0, 2, 3)}
    rows = [(label, group) for label, numbers in groups.items() for group in numbers]
    with pytest.raises(InputError, match=r"cannot be split[\s\S]*  - no \w+ in (train|val|test)"):
        split(pd.DataFrame(rows, columns=["label", "group"]), "group", 0)


def test_three_images_of_a_class_give_one_per_split():
    for split_by in ("image", "group"):
        table = ungrouped((100, 3, 80, 90))
        counts = class_counts(table["label"], split(table, split_by, 0))
        assert [counts[name]["meningioma"] for name in SPLITS] == [1, 1, 1]


def test_class_missing_from_the_source():
    counts = class_counts(labels_of((30, 30)), split(ungrouped((30, 30)), "image", 0))
    assert [counts[name]["pituitary"] for name in SPLITS] == [0, 0, 0]
    assert counts["train"]["glioma"] == 24


def test_rows_of_follow_the_index():
    index = pd.DataFrame({"image_id": ["c", "a", "b", "d"], "label": "glioma"})
    splits = pd.DataFrame({"image_id": ["a", "b", "c", "d"], "split": ["train", "val", "train", "test"]})
    assert rows_of(splits, index, "train").tolist() == [0, 1]
    assert rows_of(splits, index, "val").tolist() == [2]
    assert rows_of(splits, index, "test").tolist() == [3]


def test_rows_of_stale_tables():
    index = pd.DataFrame({"image_id": ["a", "b"], "label": "glioma"})
    splits = pd.DataFrame({"image_id": ["a", "z"], "split": "train"})
    with pytest.raises(InputError, match="differ in 2 images, for example 'b'"):
        rows_of(splits, index, "train")


def in_folders(n: int = 400) -> pd.DataFrame:
    """Pairs of near copies, every fifth image in Testing, some pairs in both."""
    table = pd.DataFrame({"label": np.array(CLASSES)[np.arange(n) // 2 % 4], "group": np.arange(n) // 2})
    folders = np.where(np.arange(n) % 5 == 0, "Testing", "Training")
    pairs = enumerate(zip(folders, table["label"], strict=True))
    return table.assign(path=[f"{folder}/{label}/{number}.jpg" for number, (folder, label) in pairs])


def test_the_data_sets_own_test_folder():
    table = in_folders()
    assigned = split(table, "folder", 0)
    assert ((assigned == "test") == (np.arange(400) % 5 == 0)).all()
    rest = table[assigned != "test"].assign(split=assigned[assigned != "test"])
    assert rest.groupby("group")["split"].nunique().max() == 1, "no group in both train and validation"
    counts = class_counts(table["label"], assigned)
    for label in CLASSES:
        assert counts["val"][label] == pytest.approx(sum(c[label] for n, c in counts.items() if n != "test") / 9, abs=2)
    assert (split(table, "folder", 0) == assigned).all() and (split(table, "folder", 1) != assigned).any()


def test_a_set_without_a_test_folder():
    table = in_folders()
    table["path"] = table["path"].str.replace("Testing", "Tested")
    with pytest.raises(InputError, match="no image is in a folder named Testing; use split_by: group or image"):
        split(table, "folder", 0)


def test_a_class_without_test_images():
    table = in_folders()
    table["path"] = table["path"].str.replace("Testing/glioma", "Training/glioma")
    with pytest.raises(InputError, match=r"no glioma in test\nAdd images"):
        split(table, "folder", 0)


def patients(seed: int = 0, totals: tuple[int, ...] = (300, 150, 400, 200)) -> pd.DataFrame:
    """Groups of one to thirty images of one class."""
    rng = np.random.default_rng(seed)
    rows, group = [], 0
    for label, total in zip(CLASSES, totals, strict=True):
        while total > 0:
            size = min(total, int(rng.choice([1, 1, 2, 5, 13, 30])))
            rows += [(label, group)] * size
            group += 1
            total -= size
    return pd.DataFrame(rows, columns=["label", "group"]).sample(frac=1, random_state=seed, ignore_index=True)


def all_folds(table: pd.DataFrame, split_by: str, seed: int, folds: int, val: float = 0.1) -> np.ndarray:
    """text [folds, N]"""
    return np.stack([split(table, split_by, seed, Deal(val=val, folds=folds, fold=fold)) for fold in range(folds)])


@pytest.mark.parametrize("folds", [2, 3, 5])
@pytest.mark.parametrize("split_by", ["group", "image"])
def test_every_image_is_tested_in_exactly_one_fold(split_by, folds):
    table = patients()
    assigned = all_folds(table, split_by, 0, folds)
    assert ((assigned == "test").sum(axis=0) == 1).all()
    for one in assigned:
        counts = pd.crosstab(table["label"], one)
        total = counts.sum(axis=1)
        assert ((counts["test"] - total / folds).abs() <= 0.02 * total + 1).all(), "each class near its share"
        assert ((counts["val"] - 0.1 * total).abs() <= 0.02 * total + 1).all(), "a tenth of all, not of the rest"
        if split_by == "group":
            assert table.assign(split=one).groupby("group")["split"].nunique().max() == 1
    assert np.array_equal(all_folds(table, split_by, 0, folds), assigned)
    assert (all_folds(table, split_by, 1, folds) != assigned).any()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(1, 30), min_size=5, max_size=30), min_size=2, max_size=4), st.integers(3, 5))
def test_folds_keep_groups_together_and_all_classes_in_every_split(group_sizes, folds):
    groups = [(label, size) for label, sizes in zip(CLASSES, group_sizes, strict=False) for size in sizes]
    rows = [(label, group) for group, (label, size) in enumerate(groups) for _ in range(size)]
    table = pd.DataFrame(rows, columns=["label", "group"])
    assigned = all_folds(table, "group", 0, folds)
    assert ((assigned == "test").sum(axis=0) == 1).all()
    for one in assigned:
        assert table.assign(split=one).groupby("group")["split"].nunique().max() == 1
        assert (pd.crosstab(table["label"], one)[list(SPLITS)] > 0).all(axis=None)


def test_folds_ignore_the_share_of_test():
    table = patients()
    for split_by in ("group", "image"):
        few, many = (split(table, split_by, 0, Deal(0.1, test, 5, 1)) for test in (0.1, 0.5))
        assert np.array_equal(few, many)


def test_one_fold_is_the_ordinary_split():
    for split_by in ("group", "image"):
        assert np.array_equal(split(patients(), split_by, 0), split(patients(), split_by, 0, PAPER))
        assert np.array_equal(split(patients(), split_by, 0), split(patients(), split_by, 0, Deal(folds=1, fold=0)))


def test_more_folds_than_groups_of_a_class():
    table = ungrouped((20, 20, 20, 4))
    with pytest.raises(
        InputError, match=r"each of the 5 folds \(split\.folds\):\n  - pituitary: 4 group\(s\)"
    ) as caught:
        split(table, "group", 0, Deal(folds=5))
    assert "Reduce split.folds, or add images of these classes, or set split_by: image" in str(caught.value)
    with pytest.raises(InputError, match=r"pituitary: 4 image\(s\)\nReduce split\.folds, or add images"):
        split(table, "image", 0, Deal(folds=5))


def own(table: pd.DataFrame, *runs: tuple[str, int]) -> np.ndarray:
    """The same runs of splits within each class."""
    one = np.repeat([name for name, _ in runs], [count for _, count in runs])
    return np.tile(one, len(CLASSES))[: len(table)].astype(object)


def test_own_split_is_used_unchanged():
    table = ungrouped((10, 10, 10, 10)).assign(patient="")
    assigned = own(table, ("train", 5), ("test", 4), ("val", 1))
    assert split(table, "file", 0, own=assigned) is assigned
    assert np.array_equal(split(table.drop(columns="patient"), "file", 0, own=assigned), assigned)


def test_own_split_with_a_patient_in_two_splits():
    table = ungrouped((10, 10, 10, 10)).assign(patient="")
    assigned = own(table, ("train", 5), ("test", 4), ("val", 1))
    table.loc[[4, 5, 9], "patient"] = "P7"
    table.loc[[0, 1], "patient"] = "P1"
    with pytest.raises(
        InputError, match=r"1 patient\(s\) would be in more than one split:\n  - P7: test, train, val\n"
    ):
        split(table, "file", 0, own=assigned)
    assert set(split(table, "image", 0)) == set(SPLITS), "by image leaks, as documented"


def test_groups_that_divide_a_patient_are_refused():
    table = ungrouped((40, 40, 40, 40)).assign(patient="everybody")
    with pytest.raises(InputError, match="split_by: group: 1 patient"):
        split(table, "group", 0)


def test_own_split_without_a_class():
    table = ungrouped((10, 10, 10, 10)).assign(patient="")
    assigned = own(table, ("train", 5), ("test", 4), ("val", 1))
    assigned[(table["label"] == "glioma") & (assigned == "val")] = "train"
    with pytest.raises(InputError, match=r"no glioma in val\nName images of every class in split\.file for each split"):
        split(table, "file", 0, own=assigned)
