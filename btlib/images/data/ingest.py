"""Scans a source and decodes every image once: label, patient, size and fingerprints, or its fault."""

from functools import partial
from pathlib import Path

import pandas as pd

from btlib.core.runtime.errors import InputError, listed
from btlib.core.runtime.listing import check_root
from btlib.images.data.annotations import annotated, mask_files, read_annotations
from btlib.images.data.hashing import difference_hash, pixel_sha256, turned_hashes
from btlib.images.data.inspection import inspected
from btlib.images.data.manifest import image_id
from btlib.images.data.reading import open_image, open_mask
from btlib.images.data.sources.entry import Entry, Request, Scan
from btlib.images.data.sources.sources import SOURCES
from btlib.images.data.tumor_or_none import NONE


def scanned(source: str, root: Path, annotations: str | None, key: str = "images.root", complete: bool = True) -> Scan:
    """Lists a source's images, with their annotations.

    Args:
        source: a key of SOURCES.
        root: its folder.
        annotations: see `read_annotations`; faults of the table count as a broken layout.
        key: of `root` in params.yaml, for messages.
        complete: whether every class must be present.

    Raises:
        InputError: `root` is not a folder, or the table cannot be read.
    """
    check_root(root, key)
    table = read_annotations(root, annotations)
    found = SOURCES[source](Request(root, key, mask_files(table), complete))
    entries, faults = annotated(found.entries, table, annotations)
    return Scan(entries, found.broken + faults, found.unreadable)


def ingest(
    source: str, root: Path, allow_unreadable: bool, annotations: str | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Decodes every image of a source once.

    Args:
        source, root, annotations: see `scanned`.
        allow_unreadable: leave out unreadable files instead of stopping.

    Returns:
        The manifest (`image_id, path, label, patient, source, sha256, phash, phash_turned, width, height, mask_path`),
        sorted by path, and a table `fault` of the files left out.

    Raises:
        InputError: the layout is broken or files are unreadable; lists all faults.
    """
    scan = scanned(source, root, annotations)
    paths = [entry.path for entry in scan.entries]
    rows, faults = inspected(partial(_row, root, source), scan.entries, paths, "decode images")
    unreadable = scan.unreadable + faults
    _stop_on_faults(root, scan.broken, unreadable, allow_unreadable)
    if not rows:
        raise InputError(f"images.root: {root}: no image found for source '{source}'; check images.source and its path")
    manifest = pd.DataFrame(rows)
    assert manifest.image_id.is_unique
    return manifest, pd.DataFrame({"fault": unreadable})


def _row(root: Path, source: str, entry: Entry) -> dict:
    """One row of the manifest."""
    image = open_image(root, entry.path)
    check_mask(root, entry, image.shape[:2])
    return {
        "image_id": image_id(entry.path),
        "path": entry.path,
        "label": entry.label,
        "patient": entry.patient,
        "source": source,
        "sha256": pixel_sha256(image),
        "phash": difference_hash(image),
        "phash_turned": turned_hashes(image),
        "width": image.shape[1],
        "height": image.shape[0],
        "mask_path": entry.mask_path,
    }


def check_mask(root: Path, entry: Entry, shape: tuple[int, int]) -> None:
    """Raises InputError unless the mask, if any, has the image's `shape` and, for a tumour, is not empty."""
    if not entry.mask_path:
        return
    mask = open_mask(root, entry.mask_path)
    if mask.shape != shape:
        raise InputError(f"{entry.mask_path}: mask of {mask.shape} rows and columns for {entry.path} of {shape}")
    if entry.label != NONE and not mask.any():
        raise InputError(f"{entry.mask_path}: empty mask for {entry.path}, labelled {entry.label}")


def _stop_on_faults(root: Path, broken: list[str], unreadable: list[str], allow_unreadable: bool) -> None:
    faults = broken if allow_unreadable else broken + unreadable
    if not faults:
        return
    remedy = "Repair or remove them"
    if unreadable and not allow_unreadable:
        remedy += ", or set images.allow_unreadable: true to leave unreadable files out"
    raise InputError(f"images.root: {root}: {len(faults)} fault(s):\n{listed(faults)}\n{remedy}.")
