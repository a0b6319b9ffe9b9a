"""Reads every case of the volumes' root once: its grade, patient and grid, or all of its faults."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
import pandas as pd

from btlib.core.runtime.errors import InputError, brief, listed
from btlib.core.runtime.isolation import Lost, in_isolation
from btlib.volumes.data.belonging import check_lesion, copies
from btlib.volumes.data.conventions import MODALITIES
from btlib.volumes.data.label_signs import Signs, signs_of
from btlib.volumes.data.labels import canonical, common_convention, fitting
from btlib.volumes.data.manifest import COLUMNS
from btlib.volumes.data.plausibility import check_numbering, contradictions
from btlib.volumes.data.reading import (
    Volume,
    grid_faults,
    header_remarks,
    off_grid,
    on_one_grid,
    read_volumes,
    unstripped,
)
from btlib.volumes.data.sources import recognize
from btlib.volumes.data.sources.entry import Entry

SECONDS = 300.0  # time limit for a case of the largest volumes, resampled
CASE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")  # used for file names


class Inspection(NamedTuple):
    """Result of reading one case."""

    faults: list[str]
    warnings: list[str]
    conventions: list[str]  # those that fit the segmentation's numbers; empty without a segmentation
    signs: dict[int, Signs]  # of the segmentation's numbers
    content: str  # hash of T1ce's voxels; '' for a faulty case, as are the next two
    shape: str
    spacing: str  # mm


def ingest(root: Path, resample: bool, labels: str = "auto") -> tuple[pd.DataFrame, list[str]]:
    """Reads every volume of every case once.

    Args:
        root: the volumes' folder, in one of the layouts of `recognise`.
        resample: volumes.resample, for cases whose volumes lie on different grids.
        labels: the numbering of all segmentations, as in the manifest; 'auto': that of the layout, unless the scans
            contradict it.

    Returns:
        The manifest (COLUMNS), sorted by case, and warnings.

    Raises:
        InputError: the layout is broken or cases are unusable; lists all faults.
    """
    scan = recognize.scan(root)
    entries = sorted(scan.entries, key=lambda entry: entry.case)
    if labels != "auto":
        entries = [replace(entry, conventions=(labels,)) for entry in entries]
    inspect = partial(_inspect, root, resample)
    outcomes = in_isolation(inspect, entries, "check volumes", unit="case", batch=1, seconds=SECONDS)
    inspected = [_lost_as_fault(entry, one) for entry, one in zip(entries, outcomes, strict=True)]
    faults = scan.broken + [fault for entry in entries for fault in _name_faults(entry)]
    faults += _find_duplicates(entries, inspected)
    faults += [fault for inspection in inspected for fault in inspection.faults]
    warnings = recognize.unused(root, scan) + [text for one in inspected for text in one.warnings]
    numbered = dict.fromkeys((entry.conventions for entry in entries), "")
    for conventions in numbered:
        kind = [(e, one) for e, one in zip(entries, inspected, strict=True) if e.conventions == conventions]
        try:
            numbered[conventions], contrary, doubts = _choose_numbering(kind)
            faults += contrary if labels == "auto" else []
            warnings += doubts if labels == "auto" else contrary + doubts
        except InputError as error:
            faults.append(str(error))
    if faults:
        raise InputError(f"volumes.root: {root}: {len(faults)} fault(s):\n{listed(faults)}")
    rows = [
        asdict(entry)
        | {"patient": entry.patient or entry.case, "labels": numbered[entry.conventions] if entry.seg else ""}
        | one._asdict()
        for entry, one in zip(entries, inspected, strict=True)
    ]
    return pd.DataFrame(rows)[list(COLUMNS)], warnings


def _inspect(root: Path, resample: bool, entry: Entry) -> Inspection:
    """Inspects one case, collecting all of its faults."""
    volumes, faults = read_volumes(root, asdict(entry))
    faults += grid_faults(entry.case, volumes, resample) + copies(entry.case, volumes)
    conventions: list[str] = []
    try:
        if "seg" in volumes:
            conventions = fitting(volumes["seg"].values, entry.conventions, entry.seg)
    except InputError as error:
        faults.append(str(error))
    placed: dict[str, Volume] = {}
    doubts: list[str] = []
    if not faults:
        try:
            placed = on_one_grid(volumes)
            if "seg" in placed:
                doubts = check_lesion(canonical(placed["seg"].values, conventions[0], entry.seg), placed)
        except InputError as error:
            faults.append(str(error))
    if faults:
        return Inspection(faults, [], conventions, {}, "", "", "")
    remarks = [f"case {entry.case}: {text}" for text in (*header_remarks(placed), *doubts)]
    warnings = _warnings(entry, volumes) + remarks
    return Inspection([], warnings, conventions, _signs(placed), *_fingerprint(volumes["t1ce"]))


def _lost_as_fault(entry: Entry, one: Inspection | Lost) -> Inspection:
    """Turns a case that crashed its process into one with a fault."""
    return Inspection([f"case {entry.case}: {one.reason}"], [], [], {}, "", "", "") if isinstance(one, Lost) else one


def _signs(volumes: dict[str, Volume]) -> dict[int, Signs]:
    if "seg" not in volumes:
        return {}
    numbers = np.rint(volumes["seg"].values).astype(np.int32)
    spacing = nib.affines.voxel_sizes(volumes["seg"].affine)
    return signs_of({name: volumes[name].values for name in ("t1", "t1ce", "flair")}, numbers, spacing)


def _warnings(entry: Entry, volumes: dict[str, Volume]) -> list[str]:
    found = []
    moved, full = off_grid(volumes), unstripped(volumes)
    if moved:
        found.append(f"{', '.join(moved)} resampled to the grid of t1ce by headers, without motion correction")
    if full:
        found.append(
            f"{', '.join(full)}: almost no background is 0: skull present, or noise in the air? The network expects "
            "skull-stripped scans"
        )
    if not entry.seg and not entry.grade:
        found.append("neither segmentation nor grade: cannot be used for training")
    return [f"case {entry.case}: {text}" for text in found]


def _fingerprint(volume: Volume) -> tuple[str, str, str]:
    """Hash of the voxels, shape and spacing."""
    content = hashlib.blake2b(volume.values.tobytes(), digest_size=16).hexdigest()
    spacing = nib.affines.voxel_sizes(volume.affine)
    return content, "x".join(map(str, volume.values.shape)), "x".join(f"{size:.3f}" for size in spacing)


def _name_faults(entry: Entry) -> list[str]:
    if not CASE_NAME.fullmatch(entry.case):
        return [
            f"case {brief(ascii(entry.case))}: the name is used for a file, so rename it: at most 100 letters, digits, "
            "'.', '_' and '-'"
        ]
    paths = [getattr(entry, name) for name in (*MODALITIES, "seg")]
    odd = [path for path in paths if not path.isprintable()]  # includes surrogates of bytes that are not UTF-8
    same = sorted({path for path in paths if path and paths.count(path) > 1})
    return [f"{brief(ascii(path))}: not UTF-8, or not printable; rename it" for path in odd] + [
        f"case {entry.case}: {path} is used for more than one of {', '.join((*MODALITIES, 'seg'))}" for path in same
    ]


def _find_duplicates(entries: Sequence[Entry], inspected: Sequence[Inspection]) -> list[str]:
    """Cases with the same name, and with the same content under different names, which would leak between splits."""
    by_name, by_content = defaultdict(list), defaultdict(set)
    for entry, inspection in zip(entries, inspected, strict=True):
        by_name[entry.case].append(entry.t1ce)
        by_content[inspection.content].add(entry.case)
    by_content.pop("", None)
    faults = [f"case {name}: twice, {' and '.join(files)}; remove one" for name, files in by_name.items() if files[1:]]
    return faults + [
        f"cases {', '.join(sorted(names))}: the same t1ce volume, so one case under several names; keep one"
        for names in by_content.values()
        if len(names) > 1
    ]


def _choose_numbering(kind: Sequence[tuple[Entry, Inspection]]) -> tuple[str, list[str], list[str]]:
    """The numbering of the cases of one kind of set, '' without segmentations, what in the scans contradicts it, and
    warnings.

    Raises:
        InputError: no numbering fits the whole set.
    """
    fits = [(entry.seg, one.conventions) for entry, one in kind if one.conventions]
    if not fits:
        return "", [], []
    labels, layout = common_convention(fits), kind[0][0].conventions
    signs = {entry.seg: one.signs for entry, one in kind if len(one.signs) > 1}
    odd = contradictions(labels, layout, signs)
    try:
        # One tumour may look untypical, so odd cases of a set that fits are shown, not refused
        return labels, [], odd + check_numbering(labels, layout, list(signs.values()))
    except InputError as error:
        # Of a mixed set, any numbering would be wrong for some: the smaller part is named instead
        return labels, odd if 0 < 2 * len(odd) <= len(signs) else [str(error)], []
