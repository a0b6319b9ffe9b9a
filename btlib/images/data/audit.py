"""Audit of a data set before training: copies, near-duplicates, contradictory labels, leaking splits."""

import re
from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from btlib.core.runtime.errors import InputError, listed
from btlib.images.data.classes import CLASSES
from btlib.images.data.hashing import hash_words
from btlib.images.data.masks import LINKED
from btlib.images.data.neighbors import components, near_pairs, near_pairs_between, spread
from btlib.images.data.separation import NEAR_COPY
from btlib.images.data.splits import PAPER, Deal, split

ORIENTATIONS = 8  # the image and its seven other orientations
# NEAR_COPY: groups of near copies that ignore patients, measured in addition to the kinds of split
MEASURED = ("image", "folder", NEAR_COPY, "group", "file")


def with_links(manifest: pd.DataFrame, links: pd.DataFrame, masked: Mapping | set, same_patient: str) -> pd.DataFrame:
    """The manifest with missing patients and masks filled in from the links.

    Args:
        manifest: as ingested.
        links: with `links.COLUMNS`.
        masked: ids of the images whose links have a mask.
        same_patient: regular expression for the parts of a patient's id to ignore: ids that differ only there are the
            same patient.

    Returns:
        The manifest with `patient` and `mask_path` filled in, and three columns for the audit: `slice` (of the
        reference set; '' if not linked), `slice_patient` and `slice_label`.
    """
    by_image = links.set_index("image_id").reindex(manifest["image_id"])
    table = manifest.copy()
    for name, column in (("slice", "reference"), ("slice_patient", "patient"), ("slice_label", "label")):
        table[name] = by_image[column].fillna("").to_numpy()
    for name in ("patient", "slice_patient"):
        table[name] = table[name].map(lambda patient: re.sub(same_patient, "", patient) or patient)
    table["patient"] = table["patient"].where(table["patient"] != "", table["slice_patient"])
    linked = (table["mask_path"] == "") & table["image_id"].isin(set(masked))
    table["mask_path"] = table["mask_path"].where(~linked, LINKED + table["image_id"])
    return table


def label_conflicts(manifest: pd.DataFrame) -> pd.Series:
    """True for every image that also occurs under another label (bool, aligned with `manifest`).

    The other label may be that of an identical image, of the slice that it was made from, or of another image made from
    that slice.
    """
    by_pixels = manifest.groupby("sha256")["label"].transform("nunique") > 1
    if "slice" not in manifest:
        return by_pixels
    linked = manifest["slice"] != ""
    conflicting = linked & (manifest["label"] != manifest["slice_label"])
    return by_pixels | (linked & manifest["slice"].isin(set(manifest.loc[conflicting, "slice"])))


def without_conflicts(manifest: pd.DataFrame, allow: bool) -> pd.DataFrame:
    """The manifest without images of contradictory labels.

    Raises:
        InputError: there are such images and `allow` is False; lists each set of copies and their labels.
    """
    conflicting = manifest[label_conflicts(manifest)]
    if len(conflicting) and not allow:
        sets = _describe_conflicts(conflicting)
        raise InputError(
            f"{len(sets)} image(s) appear under more than one label:\n{listed(sets)}\n"
            "Remove the wrong copies, or set images.allow_label_conflicts: true to leave all of them out."
        )
    return manifest.drop(conflicting.index).reset_index(drop=True)


def group_numbers(manifest: pd.DataFrame, distance: int) -> np.ndarray:
    """The group of each image: connected components over same patient, same pixels, same slice of the reference set,
    and near hash in any orientation.

    Near-duplicates, also mirrored or rotated, are grouped whatever their labels; only identical pixels count as a label
    conflict.

    Args:
        manifest: `patient` ('' if unknown), `sha256`, `phash`, `phash_turned`; `slice` and `slice_patient` if images
            were linked.
        distance: hashes that differ by at most this many bits are near.

    Returns:
        int [N], numbered by first appearance.
    """
    looks = _Looks(manifest, distance)
    look = components(len(looks.words), looks.pairs(turned=True))[looks.code]
    rows = np.arange(len(manifest))
    # Images are the first nodes; looks, pixels, patients and slices are further nodes that connect their images.
    ties = [(rows, look), (rows, pd.factorize(manifest["sha256"])[0]), _known(manifest, ["patient", "slice_patient"])]
    if "slice" in manifest:
        ties.append(_known(manifest, ["slice"]))
    return components(2 * (1 + len(ties)) * len(rows), _offset_nodes(ties, 2 * len(rows)))[: len(rows)]


def _known(manifest: pd.DataFrame, names: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Rows with a known value in any of these columns, and a number for each value."""
    names = [name for name in names if name in manifest]
    values = np.concatenate([manifest[name].to_numpy(dtype=object) for name in names])
    rows = np.tile(np.arange(len(manifest)), len(names))
    known = values != ""
    return rows[known], pd.factorize(values[known])[0]


def contamination(
    manifest: pd.DataFrame, splits: Mapping[str, np.ndarray], distance: int, turned: bool
) -> dict[str, int]:
    """Number of test images with a near-duplicate (or copy) in train, for each split.

    Args:
        manifest: `phash`, `phash_turned`.
        splits: name -> array of `train`, `val` or `test` for each image.
        distance: as for `group_numbers`.
        turned: whether mirrored and rotated near-duplicates count.
    """
    looks = _Looks(manifest, distance)
    in_train = np.zeros((len(looks.words), len(splits)), dtype=bool)
    for column, assigned in enumerate(splits.values()):
        in_train[looks.code[assigned == "train"], column] = True
    near_train = (in_train | spread(looks.pairs(turned), in_train))[looks.code]
    return {name: int(near_train[assigned == "test", k].sum()) for k, (name, assigned) in enumerate(splits.items())}


def leaks_by_split(
    manifest: pd.DataFrame, split_by: str, seed: int, distance: int, deal: Deal = PAPER, own: np.ndarray | None = None
) -> dict[str, dict[str, int] | None]:
    """Leakage of each kind of split, counted in test images; None if a kind is not possible here.

    Args:
        manifest: with its `group`.
        split_by: the kind in use; see `splits.split`, as for `seed`, `deal` and `own`.

    Returns:
        kind (of MEASURED) -> number of `test` images, and of those with a near copy in train, upright (`near_copy`) or
        in any orientation (`near_copy_any_orientation`); made from the same slice as an image in train (`same_slice`);
        of the same patient (`same_patient`); of a known patient (`known_patient`). The last three count only known
        slices and patients.

    Raises:
        InputError: the kind in use is not possible.
    """
    splits = {}
    for kind in MEASURED if own is not None else MEASURED[:-1]:
        try:
            splits[kind] = _assign(manifest, kind, seed, distance, deal, own)
        except InputError as error:
            if kind == split_by:
                raise
            print(f"not splittable by {kind}, so its leakage is not measured: {error}")
    near = {turned: contamination(manifest, splits, distance, turned) for turned in (False, True)}
    return dict.fromkeys(MEASURED) | {
        kind: {
            "test": int((assigned == "test").sum()),
            "near_copy": near[False][kind],
            "near_copy_any_orientation": near[True][kind],
            "same_slice": _count_shared(manifest, "slice", assigned),
            "same_patient": _count_shared(manifest, "patient", assigned),
            "known_patient": int(((manifest["patient"] != "").to_numpy() & (assigned == "test")).sum()),
        }
        for kind, assigned in splits.items()
    }


def in_use(leaks: Mapping[str, Mapping[str, int] | None], split_by: str) -> dict:
    """Shares for headlines: test images with a near copy in train, for the split in use and for each kind."""
    named = {"": "near_copy", "_any_orientation": "near_copy_any_orientation"}
    shares = {
        ending: {kind: None if found is None else found[key] / found["test"] for kind, found in leaks.items()}
        for ending, key in named.items()
    }
    return {
        f"test_near_duplicates_in_train{ending}{which}": value
        for ending, by_kind in shares.items()
        for which, value in (("", by_kind[split_by]), ("_by_split", by_kind))
    }


def _assign(
    manifest: pd.DataFrame, kind: str, seed: int, distance: int, deal: Deal, own: np.ndarray | None
) -> np.ndarray:
    """Splits by one kind of MEASURED. Raises InputError if that is not possible."""
    if kind == "file":
        return split(manifest, kind, seed, own=own)
    if kind == NEAR_COPY:
        manifest, kind = _drop_patients(manifest), "group"
        manifest["group"] = group_numbers(manifest, distance)
    return split(manifest, kind, seed, Deal(deal.val, deal.test) if kind == "folder" else deal)


def _drop_patients(manifest: pd.DataFrame) -> pd.DataFrame:
    return manifest.drop(columns=["slice", "slice_patient"], errors="ignore").assign(patient="")


def _count_shared(manifest: pd.DataFrame, column: str, assigned: np.ndarray) -> int:
    """Number of test images whose known value in this column also occurs in train."""
    if column not in manifest:
        return 0
    values = manifest[column].to_numpy(dtype=object)
    in_train = set(values[assigned == "train"]) - {""}
    return int(pd.Series(values[assigned == "test"], dtype=object).isin(in_train).sum())


def summary(manifest: pd.DataFrame, distance: int) -> dict:
    """Counts of a manifest with its `group` column: see docs/data-formats.md, metrics/audit.json."""
    looks = _Looks(manifest, distance)
    copies = manifest.groupby("sha256")["sha256"].transform("size")
    sizes = manifest["group"].value_counts()
    near, near_other_label = _count_neighbors(looks, manifest["label"].to_numpy())
    alone = np.ones((len(looks.words), 1), dtype=bool)
    return {
        "images": len(manifest),
        "classes": {name: int((manifest["label"] == name).sum()) for name in CLASSES},
        "patients": int(manifest.loc[manifest["patient"] != "", "patient"].nunique()),
        "images_without_patient": int((manifest["patient"] == "").sum()),
        "exact_duplicate_groups": int(manifest.loc[copies > 1, "sha256"].nunique()),
        "exact_duplicate_images": int((copies > 1).sum()),
        "near_duplicate_images": near,
        "turned_near_duplicate_images": int(spread(looks.turned_pairs(), alone)[looks.code].sum()),
        "near_duplicate_label_conflicts": near_other_label,
        "groups": len(sizes),
        "largest_group": int(sizes.max()),
    }


def _describe_conflicts(conflicting: pd.DataFrame) -> list[str]:
    """Each set of copies with its labels, and the label of the slice they were made from."""
    origin = conflicting.get("slice", pd.Series("", index=conflicting.index))
    named = []
    for _, copies in conflicting.groupby(origin.where(origin != "", conflicting["sha256"]), sort=False):
        parts = [f"{row.path} ({row.label})" for row in copies.itertuples()]
        parts += sorted(
            {
                f"{row.slice} of the reference ({row.slice_label})"
                for row in copies.itertuples()
                if getattr(row, "slice", "")
            }
        )
        named.append(" = ".join(parts))
    return named


def _count_neighbors(looks: "_Looks", labels: np.ndarray) -> tuple[int, int]:
    """Numbers of images with any near neighbour, and with one of another label, in upright orientation."""
    own = labels[:, None] == np.array(CLASSES)
    carried = np.zeros((len(looks.words), len(CLASSES) + 1), dtype=bool)
    np.logical_or.at(carried[:, :-1], looks.code, own)
    carried[:, -1] = True  # any neighbour, whatever its label
    reached = spread(looks.pairs(turned=False), carried)
    near = reached[:, -1] | (np.bincount(looks.code, minlength=len(looks.words)) > 1)
    other_label = (carried | reached)[looks.code, :-1] & ~own
    return int(near[looks.code].sum()), int(other_label.any(axis=1).sum())


class _Looks:
    """The distinct appearances ("looks") of a manifest: hashes as words [U, 4], and each image's index, code [N]."""

    def __init__(self, manifest: pd.DataFrame, distance: int):
        self.distance = distance
        self.code, distinct = pd.factorize(manifest["phash"] + manifest["phash_turned"])
        every = hash_words(list(distinct)).reshape(len(distinct), ORIENTATIONS, 4)
        self.words, self.turned = every[:, 0], every[:, 1:]

    def pairs(self, turned: bool) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Pairs of different looks that are near; with `turned` also if one of them is mirrored or rotated."""
        yield from near_pairs(self.words, self.distance)
        if turned:
            yield from self.turned_pairs()

    def turned_pairs(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Pairs of different looks, one of which is near the other when mirrored or rotated."""
        for orientation in range(ORIENTATIONS - 1):
            for i, j in near_pairs_between(self.turned[:, orientation], self.words, self.distance):
                yield i[i != j], j[i != j]  # a symmetric head is near its own mirror image


def _offset_nodes(ties: list[tuple[np.ndarray, np.ndarray]], count: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for kind, (rows, nodes) in enumerate(ties, start=1):
        yield rows, nodes + kind * count
