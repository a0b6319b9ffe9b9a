"""What is wrong with a set before anyone trains on it: copies, look-alikes, contradicting labels, leaking splits."""

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from btlib.data.classes import CLASSES
from btlib.data.hashing import hash_words
from btlib.data.neighbours import components, near_pairs, near_pairs_between, spread
from btlib.data.splits import KINDS, split
from btlib.errors import InputError, listed

ORIENTATIONS = 8  # as the image is, and seven others


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
    """The group of each image: the connected components of same patient, same pixels, near hash in any orientation.

    Images that look alike, mirrored or turned included, are grouped whatever their labels; only identical pixels count
    as a label conflict.

    Args:
        manifest: `patient` ('' when unknown), `sha256`, `phash`, `phash_turned`.
        distance: hashes that differ by at most this many bits are near.

    Returns:
        int [N], numbered by first appearance.
    """
    looks = _Looks(manifest, distance)
    look = components(len(looks.words), looks.pairs(turned=True))[looks.code]
    rows = np.arange(len(manifest))
    known = (manifest["patient"] != "").to_numpy()
    patients = pd.factorize(manifest["patient"])[0]
    pixels = pd.factorize(manifest["sha256"])[0]
    # Images are the first nodes; looks, pixels and patients are further nodes that tie their images together.
    ties = [(rows, look), (rows, pixels), (rows[known], patients[known])]
    return components(4 * len(rows), _shifted(ties, len(rows)))[: len(rows)]


def contamination(
    manifest: pd.DataFrame, splits: Mapping[str, np.ndarray], distance: int, turned: bool
) -> dict[str, float]:
    """Share of test images with a look-alike (or copy) in train, for each way of splitting.

    Args:
        manifest: `phash`, `phash_turned`.
        splits: name -> array of `train`, `val` or `test` for each image.
        distance: as for `group_numbers`.
        turned: whether mirrored and turned look-alikes count.
    """
    looks = _Looks(manifest, distance)
    in_train = np.zeros((len(looks.words), len(splits)), dtype=bool)
    for column, assigned in enumerate(splits.values()):
        in_train[looks.code[assigned == "train"], column] = True
    near_train = (in_train | spread(looks.pairs(turned), in_train))[looks.code]
    return {name: float(near_train[assigned == "test", k].mean()) for k, (name, assigned) in enumerate(splits.items())}


def leaks_by_split(
    manifest: pd.DataFrame, split_by: str, seed: int, distance: int
) -> dict[bool, dict[str, float | None]]:
    """`contamination` of every kind of split; None where a kind other than the one in use is not possible here.

    Returns:
        whether mirrored and turned look-alikes count -> kind of split -> share.

    Raises:
        InputError: the kind in use, `split_by`, is not possible.
    """
    splits = {split_by: split(manifest, split_by, seed)}
    for other in [kind for kind in KINDS if kind != split_by]:
        try:
            splits[other] = split(manifest, other, seed)
        except InputError as error:
            print(f"not splittable by {other}, so its contamination is not measured: {error}")
    none: dict[str, float | None] = dict.fromkeys(KINDS)
    return {turned: none | contamination(manifest, splits, distance, turned) for turned in (False, True)}


def summary(manifest: pd.DataFrame, distance: int) -> dict:
    """Counts of a manifest that has its `group` column: see docs/data-formats.md, metrics/audit.json."""
    looks = _Looks(manifest, distance)
    copies = manifest.groupby("sha256")["sha256"].transform("size")
    sizes = manifest["group"].value_counts()
    near, near_other_label = _neighbour_counts(looks, manifest["label"].to_numpy())
    alone = np.ones((len(looks.words), 1), dtype=bool)
    return {
        "images": len(manifest),
        "classes": {name: int((manifest["label"] == name).sum()) for name in CLASSES},
        "patients": int(manifest.loc[manifest["patient"] != "", "patient"].nunique()),
        "exact_duplicate_groups": int(manifest.loc[copies > 1, "sha256"].nunique()),
        "exact_duplicate_images": int((copies > 1).sum()),
        "near_duplicate_images": near,
        "turned_near_duplicate_images": int(spread(looks.turned_pairs(), alone)[looks.code].sum()),
        "near_duplicate_label_conflicts": near_other_label,
        "groups": len(sizes),
        "largest_group": int(sizes.max()),
    }


def _neighbour_counts(looks: "_Looks", labels: np.ndarray) -> tuple[int, int]:
    """How many images have a neighbour at all, and one of another label; as they are, not mirrored or turned."""
    own = labels[:, None] == np.array(CLASSES)
    carried = np.zeros((len(looks.words), len(CLASSES) + 1), dtype=bool)
    np.logical_or.at(carried[:, :-1], looks.code, own)
    carried[:, -1] = True  # for any neighbour, whatever its label
    reached = spread(looks.pairs(turned=False), carried)
    near = reached[:, -1] | (np.bincount(looks.code, minlength=len(looks.words)) > 1)
    other_label = (carried | reached)[looks.code, :-1] & ~own
    return int(near[looks.code].sum()), int(other_label.any(axis=1).sum())


class _Looks:
    """The distinct looks of a manifest: hashes as words [U, 4], and for each image which look is its own, code [N]."""

    def __init__(self, manifest: pd.DataFrame, distance: int):
        self.distance = distance
        self.code, distinct = pd.factorize(manifest["phash"] + manifest["phash_turned"])
        every = hash_words(list(distinct)).reshape(len(distinct), ORIENTATIONS, 4)
        self.words, self.turned = every[:, 0], every[:, 1:]

    def pairs(self, turned: bool) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Pairs of different looks that are near; with `turned` also when one of them is mirrored or turned."""
        yield from near_pairs(self.words, self.distance)
        if turned:
            yield from self.turned_pairs()

    def turned_pairs(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Pairs of different looks of which one, mirrored or turned, is near the other."""
        for orientation in range(ORIENTATIONS - 1):
            for i, j in near_pairs_between(self.turned[:, orientation], self.words, self.distance):
                yield i[i != j], j[i != j]  # a symmetric head is near its own mirror image


def _shifted(ties: list[tuple[np.ndarray, np.ndarray]], count: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for kind, (rows, nodes) in enumerate(ties, start=1):
        yield rows, nodes + kind * count
