"""What is wrong with a set before anyone trains on it: copies, look-alikes, contradicting labels, leaking splits."""

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

ORIENTATIONS = 8  # as the image is, and seven others
# NEAR_COPY: a way of splitting that is measured beside the others, groups that know no patients
MEASURED = ("image", "folder", NEAR_COPY, "group", "file")


def with_links(manifest: pd.DataFrame, links: pd.DataFrame, masked: Mapping | set, same_patient: str) -> pd.DataFrame:
    """The manifest with what the links say: patients and masks where it names none.

    Args:
        manifest: as ingested.
        links: with `links.COLUMNS`.
        masked: ids of the images whose links brought a mask.
        same_patient: what this regular expression matches in a patient's id does not count: ids that differ in nothing
            else are one patient.

    Returns:
        the manifest with `patient` and `mask_path` filled in, and three columns of its own for the audit:
        `slice` (of the reference set; '' where not linked), `slice_patient` and `slice_label`.
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
    """True for every image that is also known under another label (bool, aligned with `manifest`).

    It is when its identical pixels carry another label, when the slice that it was made from does, or when another
    image of that slice does.
    """
    by_pixels = manifest.groupby("sha256")["label"].transform("nunique") > 1
    if "slice" not in manifest:
        return by_pixels
    linked = manifest["slice"] != ""
    torn = linked & (manifest["label"] != manifest["slice_label"])
    return by_pixels | (linked & manifest["slice"].isin(set(manifest.loc[torn, "slice"])))


def without_conflicts(manifest: pd.DataFrame, allow: bool) -> pd.DataFrame:
    """The manifest without images of contradicting labels.

    Raises:
        InputError: there are such images and `allow` is False; names each set of copies and their labels.
    """
    conflicting = manifest[label_conflicts(manifest)]
    if len(conflicting) and not allow:
        sets = _named_conflicts(conflicting)
        raise InputError(
            f"{len(sets)} image(s) appear under more than one label:\n{listed(sets)}\n"
            "Remove the wrong copies, or set images.allow_label_conflicts: true to leave all of them out."
        )
    return manifest.drop(conflicting.index).reset_index(drop=True)


def group_numbers(manifest: pd.DataFrame, distance: int) -> np.ndarray:
    """The group of each image: the connected components of same patient, same pixels, same slice of the reference set,
    near hash in any orientation.

    Images that look alike, mirrored or turned included, are grouped whatever their labels; only identical pixels count
    as a label conflict.

    Args:
        manifest: `patient` ('' when unknown), `sha256`, `phash`, `phash_turned`; `slice` and `slice_patient` where
            images were linked.
        distance: hashes that differ by at most this many bits are near.

    Returns:
        int [N], numbered by first appearance.
    """
    looks = _Looks(manifest, distance)
    look = components(len(looks.words), looks.pairs(turned=True))[looks.code]
    rows = np.arange(len(manifest))
    # Images are the first nodes; looks, pixels, patients and slices are further nodes that tie their images together.
    ties = [(rows, look), (rows, pd.factorize(manifest["sha256"])[0]), _known(manifest, ["patient", "slice_patient"])]
    if "slice" in manifest:
        ties.append(_known(manifest, ["slice"]))
    return components(2 * (1 + len(ties)) * len(rows), _shifted(ties, 2 * len(rows)))[: len(rows)]


def _known(manifest: pd.DataFrame, names: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Rows and numbers of what is known of them in any of these columns; equal names have equal numbers."""
    names = [name for name in names if name in manifest]
    values = np.concatenate([manifest[name].to_numpy(dtype=object) for name in names])
    rows = np.tile(np.arange(len(manifest)), len(names))
    known = values != ""
    return rows[known], pd.factorize(values[known])[0]


def contamination(
    manifest: pd.DataFrame, splits: Mapping[str, np.ndarray], distance: int, turned: bool
) -> dict[str, int]:
    """How many test images have a look-alike (or copy) in train, for each way of splitting.

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
    return {name: int(near_train[assigned == "test", k].sum()) for k, (name, assigned) in enumerate(splits.items())}


def leaks_by_split(
    manifest: pd.DataFrame, split_by: str, seed: int, distance: int, deal: Deal = PAPER, own: np.ndarray | None = None
) -> dict[str, dict[str, int] | None]:
    """What each way of splitting would leak, counted in test images; None where a way is not possible here.

    Args:
        manifest: with its `group`.
        split_by: the kind in use; see `splits.split`, as for `seed`, `deal` and `own`.

    Returns:
        kind (of MEASURED) -> `test` images; those of them with a near copy in train, upright (`near_copy`) or in any
        orientation (`near_copy_any_orientation`); made from the same slice as an image in train (`same_slice`); of the
        same patient (`same_patient`); of a known patient (`known_patient`). The last three count only what is known.

    Raises:
        InputError: the kind in use is not possible.
    """
    splits = {}
    for kind in MEASURED if own is not None else MEASURED[:-1]:
        try:
            splits[kind] = _assigned(manifest, kind, seed, distance, deal, own)
        except InputError as error:
            if kind == split_by:
                raise
            print(f"not splittable by {kind}, so what it would leak is not measured: {error}")
    near = {turned: contamination(manifest, splits, distance, turned) for turned in (False, True)}
    return dict.fromkeys(MEASURED) | {
        kind: {
            "test": int((assigned == "test").sum()),
            "near_copy": near[False][kind],
            "near_copy_any_orientation": near[True][kind],
            "same_slice": _shared(manifest, "slice", assigned),
            "same_patient": _shared(manifest, "patient", assigned),
            "known_patient": int(((manifest["patient"] != "").to_numpy() & (assigned == "test")).sum()),
        }
        for kind, assigned in splits.items()
    }


def in_use(leaks: Mapping[str, Mapping[str, int] | None], split_by: str) -> dict:
    """The shares that headlines quote: test images with a near copy in train, for the split in use and for each."""
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


def _assigned(
    manifest: pd.DataFrame, kind: str, seed: int, distance: int, deal: Deal, own: np.ndarray | None
) -> np.ndarray:
    """The split of one of MEASURED; InputError where it is not possible."""
    if kind == "file":
        return split(manifest, kind, seed, own=own)
    if kind == NEAR_COPY:
        manifest, kind = _without_patients(manifest), "group"
        manifest["group"] = group_numbers(manifest, distance)
    return split(manifest, kind, seed, Deal(deal.val, deal.test) if kind == "folder" else deal)


def _without_patients(manifest: pd.DataFrame) -> pd.DataFrame:
    return manifest.drop(columns=["slice", "slice_patient"], errors="ignore").assign(patient="")


def _shared(manifest: pd.DataFrame, column: str, assigned: np.ndarray) -> int:
    """Test images whose value in this column, where known, is that of an image in train too."""
    if column not in manifest:
        return 0
    values = manifest[column].to_numpy(dtype=object)
    in_train = set(values[assigned == "train"]) - {""}
    return int(pd.Series(values[assigned == "test"], dtype=object).isin(in_train).sum())


def summary(manifest: pd.DataFrame, distance: int) -> dict:
    """Counts of a manifest that has its `group` column: see docs/data-formats.md, metrics/audit.json."""
    looks = _Looks(manifest, distance)
    copies = manifest.groupby("sha256")["sha256"].transform("size")
    sizes = manifest["group"].value_counts()
    near, near_other_label = _neighbor_counts(looks, manifest["label"].to_numpy())
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


def _named_conflicts(conflicting: pd.DataFrame) -> list[str]:
    """Each set of copies with its labels, and the label of the slice that they were made from."""
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


def _neighbor_counts(looks: "_Looks", labels: np.ndarray) -> tuple[int, int]:
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
