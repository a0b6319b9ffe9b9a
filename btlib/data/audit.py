"""What is wrong with a set before anyone trains on it: copies, look-alikes, contradicting labels, leaking splits."""

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from btlib.data.classes import CLASSES
from btlib.data.hashing import hash_words
from btlib.data.neighbours import components, near_pairs, spread
from btlib.data.splits import KINDS, split
from btlib.errors import InputError, listed


def label_conflicts(manifest: pd.DataFrame) -> pd.Series:
    """True for every image whose identical pixels also carry another label (bool, aligned with `manifest`)."""
    return manifest.groupby("sha256")["label"].transform("nunique") > 1


def without_conflicts(manifest: pd.DataFrame, allow: bool) -> pd.DataFrame:
    """The manifest without images of contradicting labels.

    Raises:
        InputError: there are such images and `allow` is False; names each set of copies and their labels.
    """
    conflicting = manifest[label_conflicts(manifest)]
    if len(conflicting) and not allow:
        sets = [
            " = ".join(f"{row.path} ({row.label})" for row in copies.itertuples())
            for _, copies in conflicting.groupby("sha256", sort=False)
        ]
        raise InputError(
            f"{len(sets)} image(s) appear under more than one label:\n{listed(sets)}\n"
            "Remove the wrong copies, or set images.allow_label_conflicts: true to leave all of them out."
        )
    return manifest.drop(conflicting.index).reset_index(drop=True)


def group_numbers(manifest: pd.DataFrame, distance: int) -> np.ndarray:
    """The group of each image: the connected components of same patient, same pixels, near hash.

    Images that look alike are grouped whatever their labels; only identical pixels count as a label conflict.

    Args:
        manifest: `patient` ('' when unknown), `sha256`, `phash`.
        distance: hashes that differ by at most this many bits are near.

    Returns:
        int [N], numbered by first appearance.
    """
    words, code = _distinct_hashes(manifest)
    look = components(len(words), near_pairs(words, distance))[code]
    rows = np.arange(len(manifest))
    known = (manifest["patient"] != "").to_numpy()
    patients = pd.factorize(manifest["patient"])[0]
    pixels = pd.factorize(manifest["sha256"])[0]
    # Images are the first nodes; looks, pixels and patients are further nodes that tie their images together.
    ties = [(rows, look), (rows, pixels), (rows[known], patients[known])]
    return components(4 * len(rows), _shifted(ties, len(rows)))[: len(rows)]


def contamination(manifest: pd.DataFrame, splits: Mapping[str, np.ndarray], distance: int) -> dict[str, float]:
    """Share of test images with a look-alike (or copy) in train, for each way of splitting.

    Args:
        manifest: `phash`.
        splits: name -> array of `train`, `val` or `test` for each image.
        distance: as for `group_numbers`.
    """
    words, code = _distinct_hashes(manifest)
    in_train = np.zeros((len(words), len(splits)), dtype=bool)
    for column, assigned in enumerate(splits.values()):
        in_train[code[assigned == "train"], column] = True
    near_train = (in_train | spread(words, in_train, distance))[code]
    return {name: float(near_train[assigned == "test", k].mean()) for k, (name, assigned) in enumerate(splits.items())}


def leaks_by_split(manifest: pd.DataFrame, split_by: str, seed: int, distance: int) -> dict[str, float | None]:
    """`contamination` of every kind of split; None where a kind other than the one in use is not possible here.

    Raises:
        InputError: the kind in use, `split_by`, is not possible.
    """
    splits = {split_by: split(manifest, split_by, seed)}
    for other in [kind for kind in KINDS if kind != split_by]:
        try:
            splits[other] = split(manifest, other, seed)
        except InputError as error:
            print(f"not splittable by {other}, so its contamination is not measured: {error}")
    return dict.fromkeys(KINDS) | contamination(manifest, splits, distance)


def summary(manifest: pd.DataFrame, distance: int) -> dict:
    """Counts of a manifest that has its `group` column: see docs/data-formats.md, metrics/audit.json."""
    words, code = _distinct_hashes(manifest)
    copies = manifest.groupby("sha256")["sha256"].transform("size")
    sizes = manifest["group"].value_counts()
    near, near_other_label = _neighbour_counts(words, code, manifest["label"].to_numpy(), distance)
    return {
        "images": len(manifest),
        "classes": {name: int((manifest["label"] == name).sum()) for name in CLASSES},
        "patients": int(manifest.loc[manifest["patient"] != "", "patient"].nunique()),
        "exact_duplicate_groups": int(manifest.loc[copies > 1, "sha256"].nunique()),
        "exact_duplicate_images": int((copies > 1).sum()),
        "near_duplicate_images": near,
        "near_duplicate_label_conflicts": near_other_label,
        "groups": len(sizes),
        "largest_group": int(sizes.max()),
    }


def _neighbour_counts(words: np.ndarray, code: np.ndarray, labels: np.ndarray, distance: int) -> tuple[int, int]:
    """How many images have a neighbour at all, and one of another label."""
    own = labels[:, None] == np.array(CLASSES)
    carried = np.zeros((len(words), len(CLASSES) + 1), dtype=bool)
    np.logical_or.at(carried[:, :-1], code, own)
    carried[:, -1] = True  # for any neighbour, whatever its label
    reached = spread(words, carried, distance)
    near = reached[:, -1] | (np.bincount(code, minlength=len(words)) > 1)
    other_label = (carried | reached)[code, :-1] & ~own
    return int(near[code].sum()), int(other_label.any(axis=1).sum())


def _distinct_hashes(manifest: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """The distinct hashes as words [U, 4] and, for each image, which of them is its own [N]."""
    code, distinct = pd.factorize(manifest["phash"])
    return hash_words(list(distinct)), code


def _shifted(ties: list[tuple[np.ndarray, np.ndarray]], count: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for kind, (rows, nodes) in enumerate(ties, start=1):
        yield rows, nodes + kind * count
