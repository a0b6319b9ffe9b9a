"""Stratified train, validation and test splits."""

from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
import pandas as pd

from btlib.core.runtime.dealing import SPLITS, assign_groups, by_fold
from btlib.core.runtime.errors import InputError, listed
from btlib.core.runtime.reproducibility import keyed_rng
from btlib.images.data.classes import CLASSES

KINDS = ("group", "image", "folder", "file")
KEEP_PATIENTS_APART = ("group", "file")  # the other kinds are documented to leak
TEST_FOLDERS = {"test", "testing"}  # of the data set's own test images, ignoring case


@dataclass(frozen=True)
class Deal:
    """Shares of held-out images; section split of params.yaml has the same fields and may be used instead.

    With `folds` above 1 the images are divided into that many equal parts, of which number `fold` is the test set;
    `val` is still a share of all images, and `test` is ignored.
    """

    val: float = 0.1
    test: float = 0.1
    folds: int = 1
    fold: int = 0


PAPER = Deal()  # 80/10/10


def split(
    manifest: pd.DataFrame, split_by: str, seed: int, deal: Deal = PAPER, own: np.ndarray | None = None
) -> np.ndarray:
    """Assigns every image to `train`, `val` or `test`, stratified by class.

    Args:
        manifest: `label`; `group`, `patient` and `path` for the kinds that need them.
        split_by: `image`: images are independent (the paper's protocol, Table 2); `group`: no group, hence no known
            patient, is in two splits; `folder`: images in a folder named Testing are the test set, as intended by the
            data set's authors, and the rest is split into train and validation by group; `file`: as in `own`.
        seed: same seed, same split.
        deal: the shares, or the fold.
        own: text [N], the user's own split, for `file`.

    Returns:
        Text [N].

    Raises:
        InputError: a class has fewer images (or groups) than there are splits or folds, or cannot be in all of them; a
            known patient would be in two splits, for a kind that is not documented to leak.
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
    """Number of images of each class in each split; reproduces the paper's Table 2 from its class totals.

    First the held-out part is rounded up to whole images and the training images are apportioned to the classes by
    largest remainder, then the held-out part is divided likewise (at equal shares, test gets the odd image), like two
    calls of scikit-learn's train_test_split. Unlike those, a class of three or more images is in every split.

    Args:
        class_sizes: int [K], each at least 3.
        deal: the shares of validation and test.

    Returns:
        Int [3, K]: train, validation, test.
    """
    held_out = deal.val + deal.test
    held_total = int(np.ceil(held_out * class_sizes.sum() - 1e-9))
    held = class_sizes - _apportion(class_sizes, class_sizes.sum() - held_total)
    held = np.clip(held, 2, class_sizes - 1)
    val = np.clip(_apportion(held, int(held.sum() * deal.val / held_out + 1e-9)), 1, held - 1)
    return np.stack([class_sizes - held, val, held - val])


def _apportion(class_sizes: np.ndarray, total: int) -> np.ndarray:
    """Divides `total` among classes in proportion to their sizes, by largest remainder."""
    exact = class_sizes * total / class_sizes.sum()
    assigned = np.floor(exact).astype(int)
    largest_remainders = np.argsort(assigned - exact, kind="stable")[: total - assigned.sum()]
    assigned[largest_remainders] += 1
    return assigned


def _by_group(manifest: pd.DataFrame, seed: int, deal: Deal) -> np.ndarray:
    if deal.folds == 1:
        held_out = deal.val + deal.test
        return assign_groups(manifest, seed, {"train": 1 - held_out, "val": deal.val, "test": deal.test})
    return by_fold(manifest, seed, deal.folds, deal.fold, deal.val)


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
    """Share of validation images among those outside the test set."""
    test = deal.test if deal.folds == 1 else 1 / deal.folds
    return deal.val / (1 - test)


def _by_folder(manifest: pd.DataFrame, seed: int, deal: Deal) -> np.ndarray:
    assigned = np.full(len(manifest), "test", dtype=object)
    folders = manifest["path"].map(lambda path: {part.lower() for part in PurePosixPath(path).parts[:-1]})
    rest = ~folders.map(lambda parts: bool(parts & TEST_FOLDERS)).to_numpy(dtype=bool)
    if rest.all():
        raise InputError("split_by: folder: no image is in a folder named Testing; use split_by: group or image")
    val = _share_of_rest(deal)
    assigned[rest] = assign_groups(manifest[rest], seed, {"train": 1 - val, "val": val})
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
            f"too few for each of the {parts}:\n{listed(few)}\n"
            + ("Reduce split.folds, or add" if folds > 1 else "Add")
            + " images of these classes"
            + (", or set split_by: image if independence does not matter." if split_by == "group" else ".")
        )


def _check_patients(manifest: pd.DataFrame, assigned: np.ndarray, split_by: str) -> None:
    if "patient" not in manifest:
        return
    known = (manifest["patient"] != "").to_numpy()
    sides = pd.Series(assigned[known]).groupby(manifest["patient"].to_numpy()[known]).unique()
    divided = [f"{patient}: {', '.join(sorted(parts))}" for patient, parts in sides.items() if len(parts) > 1]
    if divided:
        raise InputError(
            f"split_by: {split_by}: {len(divided)} patient(s) would be in more than one split:\n{listed(divided)}\n"
            "Assign each patient to one split, or use `split_by: group`."
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
            f"split_by: {split_by}: the images cannot be split so that every class is in every split:\n"
            f"{listed(empty)}\n{why}"
        )


def rows_of(splits: pd.DataFrame, index: pd.DataFrame, split: str) -> np.ndarray:
    """Ascending row numbers of one split's images in images.npy.

    Args:
        splits: `image_id, split`.
        index: `image_id, label`, one row per row of images.npy.
        split: `train`, `val` or `test`.

    Raises:
        InputError: the two tables list different images, so one of them is stale.
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
