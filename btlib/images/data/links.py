"""Links images to the slices of a reference set that they were made from, with known patient and lesion.

Public sets republish slices of older ones without patients: mirrored, rotated, downscaled, recompressed. Candidates are
found by a hash in eight orientations and ranked by the correlation of thumbnails.
"""

from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd

from btlib.core.runtime.artifacts import read_csv
from btlib.core.runtime.errors import InputError, listed
from btlib.core.runtime.workers import in_parallel
from btlib.images.data.hashing import difference_hash, hash_words, orientations, turned_hashes
from btlib.images.data.ingest import check_mask, scanned
from btlib.images.data.inspection import inspected
from btlib.images.data.neighbors import nearest
from btlib.images.data.reading import open_image, open_mask
from btlib.images.data.sources.entry import Entry

VIEWS = 8  # orientations of a slice
SIDE = 64  # pixels of the thumbnails
CANDIDATES = 8  # adjacent slices have near hashes, so the nearest is not always the right one
CHUNK = 1000  # images correlated at once: 8 candidates of 64 × 64 float32 each are 130 MB
COLUMNS = ("image_id", "reference", "orientation", "distance", "correlation", "patient", "label")
TEXT = ("image_id", "reference", "patient", "label")


class Reference(NamedTuple):
    """A set with known patients: N slices, hashes uint64 [N, 8, 4], thumbnails uint8 [N, SIDE, SIDE]."""

    entries: list[Entry]
    words: np.ndarray
    small: np.ndarray


def read_reference(source: str, root: Path, annotations: str | None) -> Reference:
    """Decodes every slice of a reference set once.

    Args:
        source, root, annotations: see `ingest.scanned`.

    Raises:
        InputError: there is no slice, or one cannot be read or lacks its patient or lesion; lists all faults.
    """
    scan = scanned(source, root, annotations, key="images.reference.root", complete=False)
    paths = [entry.path for entry in scan.entries]
    seen, faults = inspected(partial(_slice, root), scan.entries, paths, "reference")
    faults = scan.broken + scan.unreadable + faults
    if not scan.entries and not faults:
        faults = [f"no slice found for source '{source}'"]
    if faults:
        raise InputError(
            f"images.reference.root: {root}: {len(faults)} fault(s):\n{listed(faults)}\n"
            "Repair or remove them, or check images.reference.source and its root."
        )
    hashes, small = zip(*seen, strict=True)
    return Reference(scan.entries, hash_words(list(hashes)).reshape(len(seen), VIEWS, -1), np.stack(small))


def best_matches(manifest: pd.DataFrame, root: Path, reference: Reference) -> pd.DataFrame:
    """The most similar slice for each image, however distant.

    Args:
        manifest: `image_id, path, phash`.
        root: the images' folder.

    Returns:
        One row per image with COLUMNS, in the order of the manifest. `reference` is the slice's path; `orientation` the
        index of its view (see `hashing.orientations`) that matches the image; `distance` in bits of 256 between the
        hashes; `correlation` of grey levels at SIDE × SIDE pixels; `patient` and `label` are the slice's.
    """
    # View o of slice n is row 8 n + o.
    words = reference.words.reshape(-1, reference.words.shape[-1])
    most = min(CANDIDATES, len(words))
    candidates, distances = nearest(hash_words(list(manifest["phash"])), words, most)
    small = np.stack(list(in_parallel(partial(_open_thumbnail, root), list(manifest["path"]), "images")))
    views = np.stack([view for picture in reference.small for view in orientations(picture)])
    best, correlation = _choose_best(small, views, candidates)
    rows = np.arange(len(best))
    numbers, orientation = np.divmod(candidates[rows, best], VIEWS)
    slices = [reference.entries[number] for number in numbers]
    columns = (
        manifest["image_id"].to_numpy(),
        [entry.path for entry in slices],
        orientation,
        distances[rows, best],
        correlation.round(6),
        [entry.patient for entry in slices],
        [entry.label for entry in slices],
    )
    return pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)))


def is_link(matches: pd.DataFrame, distance: int, correlation: float) -> np.ndarray:
    """bool [N], whether image and slice match: hash distance and correlation within these limits."""
    return ((matches["distance"] <= distance) & (matches["correlation"] >= correlation)).to_numpy()


def linked_masks(
    links: pd.DataFrame, manifest: pd.DataFrame, root: Path, reference: Reference
) -> dict[str, np.ndarray]:
    """The lesion of each linked image in the image's own orientation: image_id -> bool [height, width].

    Args:
        links: with COLUMNS.
        manifest: `image_id, width, height`.
        root: the reference set's folder.
    """
    mask_of = {entry.path: entry.mask_path for entry in reference.entries}
    sizes = manifest.set_index("image_id")[["height", "width"]]
    jobs = [
        (mask_of[path], [(row.image_id, row.orientation, *sizes.loc[row.image_id]) for row in rows.itertuples()])
        for path, rows in links.groupby("reference")
        if mask_of[path]
    ]
    return {name: mask for part in in_parallel(partial(_orient_masks, root), jobs, "masks") for name, mask in part}


def read_links(path: Path) -> pd.DataFrame:
    """Reads a table with COLUMNS."""
    return read_csv(path, text=TEXT)


def _slice(root: Path, entry: Entry) -> tuple[str, np.ndarray]:
    """Eight hashes and a thumbnail."""
    image = open_image(root, entry.path)
    check_mask(root, entry, image.shape[:2])
    if not entry.patient:
        raise InputError(f"{entry.path}: no patient (cjdata/PID, or `patient` in images.reference.annotations)")
    return difference_hash(image) + turned_hashes(image), _make_thumbnail(image)


def _open_thumbnail(root: Path, path: str) -> np.ndarray:
    return _make_thumbnail(open_image(root, path))


def _make_thumbnail(image: np.ndarray) -> np.ndarray:
    return cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def _choose_best(small: np.ndarray, views: np.ndarray, candidates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The most correlated candidate [N] of each thumbnail, and the correlation."""
    best, correlation = [], []
    for start in range(0, len(small), CHUNK):
        chunk = slice(start, start + CHUNK)
        found = np.einsum("np,ncp->nc", _standardised(small[chunk]), _standardised(views[candidates[chunk]]))
        best.append(found.argmax(axis=1))
        correlation.append(found.max(axis=1))
    return np.concatenate(best), np.concatenate(correlation)


def _standardised(pictures: np.ndarray) -> np.ndarray:
    """[…, SIDE, SIDE] to […, SIDE²], centred, with norm 1, so that dot products are correlations; 0 if flat."""
    flat = pictures.reshape(*pictures.shape[:-2], -1).astype(np.float32)
    flat -= flat.mean(axis=-1, keepdims=True)
    return flat / np.maximum(np.linalg.norm(flat, axis=-1, keepdims=True), 1e-6)


def _orient_masks(root: Path, job: tuple[str, list[tuple[str, int, int, int]]]) -> list[tuple[str, np.ndarray]]:
    path, images = job
    views = orientations(open_mask(root, path).astype(np.uint8))
    return [
        (
            name,
            cv2.resize(
                np.ascontiguousarray(views[view]), (int(width), int(height)), interpolation=cv2.INTER_NEAREST_EXACT
            ).astype(bool),
        )
        for name, view, height, width in images
    ]
