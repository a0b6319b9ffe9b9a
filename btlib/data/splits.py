"""Who trains, who validates, who tests."""

from collections.abc import Mapping
from pathlib import PurePosixPath

import numpy as np
import pandas as pd

from btlib.data.classes import CLASSES
from btlib.errors import InputError, listed
from btlib.reproducibility import keyed_rng

SPLITS = ("train", "val", "test")
HELD_OUT = 0.2  # validation and test together; each gets half of it
KINDS = ("group", "image", "folder")
TEST_FOLDERS = {"test", "testing"}  # the data set's own test images; case does not matter


def split(manifest: pd.DataFrame, split_by: str, seed: int) -> np.ndarray:
    """Assigns every image to `train`, `val` or `test`, about 80/10/10 within each class.

    Args:
        manifest: `label`; `group` and `path` for the kinds that need them.
        split_by: `image`: images are independent (the paper's protocol, Table 2); `group`: no group in two splits;
            `folder`: what lies in a folder named Testing is the test set, as the data set's makers had it, and the rest
            is dealt to train and validation by group.
        seed: same seed, same split.

    Returns:
        text [N].

    Raises:
        InputError: a class has fewer images (or groups) than there are splits, or cannot be in all of them.
    """
    unit = manifest["group"] if split_by == "group" else pd.Series(np.arange(len(manifest)), index=manifest.index)
    _check_enough(manifest["label"], unit, split_by)
    assigned = {"group": by_group, "image": _by_image, "folder": _by_folder}[split_by](manifest, seed)
    _check_present(manifest["label"], assigned, split_by)
    return assigned


def class_counts(labels: pd.Series, assigned: np.ndarray) -> dict[str, dict[str, int]]:
    """Images of each class in each split: {"train": {"glioma": n, …}, …}."""
    return {name: {label: int(((labels == label) & (assigned == name)).sum()) for label in CLASSES} for name in SPLITS}


def by_group(manifest: pd.DataFrame, seed: int, held_out: float = HELD_OUT) -> np.ndarray:
    """Deals groups, largest first, to the split that then lies closest to its share in every class.

    Args:
        manifest: `label, group`.
        seed: same seed, same split.
        held_out: share of validation and test together; each gets half of it.

    Returns:
        text [N]. A class of fewer than three groups is not in every split: `split` refuses it.
    """
    return _dealt_by_group(manifest, seed, {"train": 1 - held_out, "val": held_out / 2, "test": held_out / 2})


def sampled(rows: np.ndarray, labels: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """At most `most` rows of each class, ascending.

    Args:
        rows: row numbers.
        labels: class of each row of the whole set, by row number.
    """
    by_class = [rows[labels[rows] == name] for name in np.unique(labels[rows])]
    return np.sort(np.concatenate([rng.permutation(part)[:most] for part in by_class]))


def shares(class_sizes: np.ndarray) -> np.ndarray:
    """How many images of each class each split gets; gives the paper's Table 2 on the paper's class totals.

    First the held-out part is rounded up to whole images and train dealt to the classes by largest remainder, then
    the held-out part is halved in the same way (test gets the odd image): what two calls of scikit-learn's
    train_test_split do. Unlike them, a class of three or more images is in every split.

    Args:
        class_sizes: int [K], each at least 3.

    Returns:
        int [3, K]: train, validation, test.
    """
    held_total = int(np.ceil(HELD_OUT * class_sizes.sum() - 1e-9))
    held = class_sizes - _dealt(class_sizes, class_sizes.sum() - held_total)
    held = np.maximum(held, 2)
    val = np.clip(_dealt(held, held.sum() // 2), 1, held - 1)
    return np.stack([class_sizes - held, val, held - val])


def _dealt(class_sizes: np.ndarray, total: int) -> np.ndarray:
    """`total` dealt to classes in proportion to their sizes, by largest remainder."""
    exact = class_sizes * total / class_sizes.sum()
    dealt = np.floor(exact).astype(int)
    most_owed = np.argsort(dealt - exact, kind="stable")[: total - dealt.sum()]
    dealt[most_owed] += 1
    return dealt


def _by_image(manifest: pd.DataFrame, seed: int) -> np.ndarray:
    assigned = np.empty(len(manifest), dtype=object)
    present = [name for name in CLASSES if (manifest["label"] == name).any()]
    sizes = np.array([(manifest["label"] == name).sum() for name in present])
    for name, counts in zip(present, shares(sizes).T, strict=True):
        rows = np.flatnonzero(manifest["label"] == name)
        assigned[keyed_rng(seed, "split by image", name).permutation(rows)] = np.repeat(SPLITS, counts)
    return assigned


def _by_folder(manifest: pd.DataFrame, seed: int) -> np.ndarray:
    assigned = np.full(len(manifest), "test", dtype=object)
    folders = manifest["path"].map(lambda path: {part.lower() for part in PurePosixPath(path).parts[:-1]})
    rest = ~folders.map(lambda parts: bool(parts & TEST_FOLDERS)).to_numpy(dtype=bool)
    if rest.all():
        raise InputError("split_by: folder: no image lies in a folder named Testing; use split_by: group or image")
    held_out = HELD_OUT / 2 / (1 - HELD_OUT / 2)  # validation, as a share of what is not test
    assigned[rest] = _dealt_by_group(manifest[rest], seed, {"train": 1 - held_out, "val": held_out})
    return assigned


def _dealt_by_group(manifest: pd.DataFrame, seed: int, parts: Mapping[str, float]) -> np.ndarray:
    table = pd.crosstab(manifest["group"], manifest["label"])
    table = table.iloc[keyed_rng(seed, "split by group").permutation(len(table))]
    table = table.iloc[np.argsort(-table.sum(axis=1).to_numpy(), kind="stable")]
    counts = table.to_numpy()
    target = np.array([list(parts.values())]).T * counts.sum(axis=0)  # [splits, K]
    filled = np.zeros_like(target)
    waiting = (counts > 0).sum(axis=0)  # groups of each class not dealt yet
    choice = np.empty(len(counts), dtype=int)
    for row, group in enumerate(counts):
        cost = ((filled + group - target) ** 2 - (filled - target) ** 2) / target
        lacking = filled == 0
        # A class with no more groups left than splits that still lack it must go to one of those.
        urgent = (group > 0) & (waiting <= lacking.sum(axis=0))
        ranked = cost.sum(axis=1) - 1e9 * (lacking & urgent).sum(axis=1)
        choice[row] = ranked.argmin()
        filled[choice[row]] += group
        waiting -= group > 0
    split_of_group = dict(zip(table.index, np.array(list(parts), dtype=object)[choice], strict=True))
    return manifest["group"].map(split_of_group).to_numpy(dtype=object)


def _check_enough(labels: pd.Series, unit: pd.Series, split_by: str) -> None:
    available = unit.groupby(labels).nunique()
    few = [f"{label}: {count} {split_by}(s)" for label, count in available.items() if count < len(SPLITS)]
    if few:
        raise InputError(
            f"too few to be in each of the {len(SPLITS)} splits ({', '.join(SPLITS)}):\n{listed(few)}\n"
            "Add images of these classes"
            + (", or set split_by: image if independence does not matter." if split_by == "group" else ".")
        )


def _check_present(labels: pd.Series, assigned: np.ndarray, split_by: str) -> None:
    counts = pd.crosstab(labels, assigned).reindex(columns=SPLITS, fill_value=0)
    empty = [f"no {label} in {name}" for label, row in counts.iterrows() for name in SPLITS if row[name] == 0]
    if empty:
        why = "A group spans too many classes; lower images.near_duplicate_distance or add images."
        raise InputError(
            f"split_by: {split_by}: the images cannot be dealt so that every class is in every split:\n"
            f"{listed(empty)}\n{'Add images.' if split_by == 'folder' else why}"
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
