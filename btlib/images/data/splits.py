"""Who trains, who validates, who tests."""

from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
import pandas as pd

from btlib.core.runtime.dealing import SPLITS, dealt_by_group
from btlib.core.runtime.errors import InputError, listed
from btlib.core.runtime.reproducibility import keyed_rng
from btlib.images.data.classes import CLASSES

KINDS = ("group", "image", "folder", "file")
KEEP_PATIENTS_APART = ("group", "file")  # the other kinds are documented to leak
TEST_FOLDERS = {"test", "testing"}  # the data set's own test images; case does not matter


@dataclass(frozen=True)
class Deal:
    """How much is held out; the section split of params.yaml has the same fields and may stand in for it.

    With `folds` above 1 the images are dealt into so many parts of equal size, of which number `fold` is the test set;
    `val` is a share of all images then too, and `test` is not looked at.
    """

    val: float = 0.1
    test: float = 0.1
    folds: int = 1
    fold: int = 0


PAPER = Deal()  # 80/10/10


def split(
    manifest: pd.DataFrame, split_by: str, seed: int, deal: Deal = PAPER, own: np.ndarray | None = None
) -> np.ndarray:
    """Assigns every image to `train`, `val` or `test`, each class by its shares.

    Args:
        manifest: `label`; `group`, `patient` and `path` for the kinds that need them.
        split_by: `image`: images are independent (the paper's protocol, Table 2); `group`: no group, and so no known
            patient, in two splits; `folder`: what lies in a folder named Testing is the test set, as the data set's
            makers had it, and the rest is dealt to train and validation by group; `file`: as `own` says.
        seed: same seed, same split.
        deal: the shares, or the fold.
        own: text [N], the user's own split, for `file`.

    Returns:
        text [N].

    Raises:
        InputError: a class has fewer images (or groups) than there are splits or folds, or cannot be in all of them;
            a known patient would be on two sides, though the kind is not documented to leak.
    """
    if split_by == "file":
        assert own is not None, "split_by: file without a table"
        assigned = own
    else:
        unit = manifest["group"] if split_by == "group" else pd.Series(np.arange(len(manifest)), index=manifest.index)
        _check_enough(manifest["label"], unit, split_by, deal.folds)
        assigned = {"group": _by_group, "image": _by_image, "folder": _by_folder}[split_by](manifest, seed, deal)
    _check_present(manifest["label"], assigned, split_by)
    if split_by in KEEP_PATIENTS_APART:
        _check_patients(manifest, assigned, split_by)
    return assigned


def class_counts(labels: pd.Series, assigned: np.ndarray) -> dict[str, dict[str, int]]:
    """Images of each class in each split: {"train": {"glioma": n, …}, …}."""
    return {name: {label: int(((labels == label) & (assigned == name)).sum()) for label in CLASSES} for name in SPLITS}


def sampled(rows: np.ndarray, labels: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """At most `most` rows of each class, ascending.

    Args:
        rows: row numbers.
        labels: class of each row of the whole set, by row number.
    """
    by_class = [rows[labels[rows] == name] for name in np.unique(labels[rows])]
    return np.sort(np.concatenate([rng.permutation(part)[:most] for part in by_class]))


def shares(class_sizes: np.ndarray, deal: Deal = PAPER) -> np.ndarray:
    """How many images of each class each split gets; gives the paper's Table 2 on the paper's class totals.

    First the held-out part is rounded up to whole images and train dealt to the classes by largest remainder, then
    the held-out part is dealt in the same way (at equal shares, test gets the odd image): what two calls of
    scikit-learn's train_test_split do. Unlike them, a class of three or more images is in every split.

    Args:
        class_sizes: int [K], each at least 3.
        deal: the shares of validation and test.

    Returns:
        int [3, K]: train, validation, test.
    """
    held_out = deal.val + deal.test
    held_total = int(np.ceil(held_out * class_sizes.sum() - 1e-9))
    held = class_sizes - _dealt(class_sizes, class_sizes.sum() - held_total)
    held = np.clip(held, 2, class_sizes - 1)
    val = np.clip(_dealt(held, int(held.sum() * deal.val / held_out + 1e-9)), 1, held - 1)
    return np.stack([class_sizes - held, val, held - val])


def _dealt(class_sizes: np.ndarray, total: int) -> np.ndarray:
    """`total` dealt to classes in proportion to their sizes, by largest remainder."""
    exact = class_sizes * total / class_sizes.sum()
    dealt = np.floor(exact).astype(int)
    most_owed = np.argsort(dealt - exact, kind="stable")[: total - dealt.sum()]
    dealt[most_owed] += 1
    return dealt


def _by_group(manifest: pd.DataFrame, seed: int, deal: Deal) -> np.ndarray:
    if deal.folds == 1:
        held_out = deal.val + deal.test
        return dealt_by_group(manifest, seed, {"train": 1 - held_out, "val": deal.val, "test": deal.test})
    in_fold = dealt_by_group(manifest, seed, dict.fromkeys(range(deal.folds), 1 / deal.folds)) == deal.fold
    val = _share_of_rest(deal)
    assigned = np.full(len(manifest), "test", dtype=object)
    assigned[~in_fold] = dealt_by_group(manifest[~in_fold], seed, {"train": 1 - val, "val": val})
    return assigned


def _by_image(manifest: pd.DataFrame, seed: int, deal: Deal) -> np.ndarray:
    assigned = np.empty(len(manifest), dtype=object)
    present = [name for name in CLASSES if (manifest["label"] == name).any()]
    sizes = np.array([(manifest["label"] == name).sum() for name in present])
    counts_of = dict(zip(present, shares(sizes, deal).T, strict=True))
    for name in present:
        rows = keyed_rng(seed, "split by image", name).permutation(np.flatnonzero(manifest["label"] == name))
        if deal.folds == 1:
            assigned[rows] = np.repeat(SPLITS, counts_of[name])
            continue
        in_fold = np.arange(len(rows)) % deal.folds == deal.fold
        rest = rows[~in_fold]
        assigned[rows[in_fold]] = "test"
        assigned[rest] = "train"
        assigned[rest[: max(1, round(_share_of_rest(deal) * len(rest)))]] = "val"
    return assigned


def _share_of_rest(deal: Deal) -> float:
    """Validation, as a share of what is not test."""
    test = deal.test if deal.folds == 1 else 1 / deal.folds
    return deal.val / (1 - test)


def _by_folder(manifest: pd.DataFrame, seed: int, deal: Deal) -> np.ndarray:
    assigned = np.full(len(manifest), "test", dtype=object)
    folders = manifest["path"].map(lambda path: {part.lower() for part in PurePosixPath(path).parts[:-1]})
    rest = ~folders.map(lambda parts: bool(parts & TEST_FOLDERS)).to_numpy(dtype=bool)
    if rest.all():
        raise InputError("split_by: folder: no image lies in a folder named Testing; use split_by: group or image")
    val = _share_of_rest(deal)
    assigned[rest] = dealt_by_group(manifest[rest], seed, {"train": 1 - val, "val": val})
    return assigned


def _check_enough(labels: pd.Series, unit: pd.Series, split_by: str, folds: int) -> None:
    available = unit.groupby(labels).nunique()
    needed = max(len(SPLITS), folds)
    few = [f"{label}: {count} {split_by}(s)" for label, count in available.items() if count < needed]
    if few:
        parts = (
            f"{len(SPLITS)} splits ({', '.join(SPLITS)})" if folds <= len(SPLITS) else f"{folds} folds (split.folds)"
        )
        raise InputError(
            f"too few to be in each of the {parts}:\n{listed(few)}\n"
            + ("Make split.folds smaller, or add" if folds > 1 else "Add")
            + " images of these classes"
            + (", or set split_by: image if independence does not matter." if split_by == "group" else ".")
        )


def _check_patients(manifest: pd.DataFrame, assigned: np.ndarray, split_by: str) -> None:
    if "patient" not in manifest:
        return
    known = (manifest["patient"] != "").to_numpy()
    sides = pd.Series(assigned[known]).groupby(manifest["patient"].to_numpy()[known]).unique()
    torn = [f"{patient}: {', '.join(sorted(parts))}" for patient, parts in sides.items() if len(parts) > 1]
    if torn:
        raise InputError(
            f"split_by: {split_by}: {len(torn)} patient(s) would be on more than one side:\n{listed(torn)}\n"
            "Give each patient one split, or let `split_by: group` deal the images."
        )


def _check_present(labels: pd.Series, assigned: np.ndarray, split_by: str) -> None:
    counts = pd.crosstab(labels, assigned).reindex(columns=SPLITS, fill_value=0)
    empty = [f"no {label} in {name}" for label, row in counts.iterrows() for name in SPLITS if row[name] == 0]
    if empty:
        why = {
            "folder": "Add images.",
            "file": "Name images of every class in split.file for each split.",
        }.get(split_by, "A group spans too many classes; lower images.near_duplicate_distance or add images.")
        raise InputError(
            f"split_by: {split_by}: the images cannot be dealt so that every class is in every split:\n"
            f"{listed(empty)}\n{why}"
        )


def rows_of(splits: pd.DataFrame, index: pd.DataFrame, split: str) -> np.ndarray:
    """Row numbers, ascending, of one split's images in images.npy.

    Args:
        splits: `image_id, split`.
        index: `image_id, label`, one row per row of images.npy.
        split: `train`, `val` or `test`.

    Raises:
        InputError: the two tables do not hold the same images, which means that one of them is stale.
    """
    assert split in SPLITS, split
    strangers = set(splits["image_id"]) ^ set(index["image_id"])
    if strangers:
        raise InputError(
            f"the split table and the image index differ in {len(strangers)} images, for example "
            f"'{min(strangers)}'; run `dvc repro preprocess_images split_images`"
        )
    chosen = index["image_id"].map(splits.set_index("image_id")["split"]) == split
    return np.flatnonzero(chosen.to_numpy())
