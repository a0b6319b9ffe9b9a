"""Reads every case of the volumes' root once: its grade, patient and grid, or all that is wrong with it."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import pandas as pd

from btlib.data.volumes.conventions import MODALITIES
from btlib.data.volumes.labels import common_convention, fitting
from btlib.data.volumes.manifest import COLUMNS
from btlib.data.volumes.reading import Volume, grid_faults, off_grid, on_one_grid, read_volumes, unstripped
from btlib.data.volumes.sources import recognise
from btlib.data.volumes.sources.entry import Entry
from btlib.data.workers import in_parallel
from btlib.errors import InputError, listed

CASE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")  # it becomes a file's name


class Inspection(NamedTuple):
    """What reading one case showed."""

    faults: list[str]
    warnings: list[str]
    conventions: list[str]  # that fit the segmentation's numbers; none without a segmentation
    content: str  # hash of T1ce's voxels; '' for a faulty case, as below
    shape: str
    spacing: str  # mm


def ingest(root: Path, resample: bool) -> tuple[pd.DataFrame, list[str]]:
    """Reads every volume of every case once.

    Args:
        root: the volumes' folder, in one of the layouts of `recognise`.
        resample: volumes.resample, for cases whose volumes lie on different grids.

    Returns:
        the manifest (COLUMNS), sorted by case, and warnings.

    Raises:
        InputError: the layout is broken or cases are not fit for use; all faults are in one list.
    """
    scan = recognise.scan(root)
    entries = sorted(scan.entries, key=lambda entry: entry.case)
    inspected = list(in_parallel(partial(_inspect, root, resample), entries, "check volumes", unit="case", batch=1))
    faults = scan.broken + [fault for entry in entries for fault in _name_faults(entry)] + _twice(entries, inspected)
    faults += [fault for inspection in inspected for fault in inspection.faults]
    try:
        labels = _labels(entries, inspected)
    except InputError as error:
        faults.append(str(error))
    if faults:
        raise InputError(f"volumes.root: {root}: {len(faults)} fault(s):\n{listed(faults)}")
    rows = [
        asdict(entry) | {"patient": entry.patient or entry.case, "labels": name} | one._asdict()
        for entry, one, name in zip(entries, inspected, labels, strict=True)
    ]
    return pd.DataFrame(rows)[list(COLUMNS)], [text for one in inspected for text in one.warnings]


def _inspect(root: Path, resample: bool, entry: Entry) -> Inspection:
    """Faults are gathered, so that one run names them all."""
    volumes, faults = read_volumes(root, asdict(entry))
    faults += grid_faults(entry.case, volumes, resample)
    conventions: list[str] = []
    try:
        if "seg" in volumes:
            conventions = fitting(volumes["seg"].values, entry.conventions, entry.seg)
    except InputError as error:
        faults.append(str(error))
    if not faults:
        try:
            on_one_grid(volumes)
        except InputError as error:
            faults.append(str(error))
    if faults:
        return Inspection(faults, [], conventions, "", "", "")
    return Inspection([], _warnings(entry, volumes), conventions, *_fingerprint(volumes["t1ce"]))


def _warnings(entry: Entry, volumes: dict[str, Volume]) -> list[str]:
    found = []
    moved, full = off_grid(volumes), unstripped(volumes)
    if moved:
        found.append(f"{', '.join(moved)} brought onto the grid of t1ce by headers, which know of no movement")
    if full:
        found.append(
            f"{', '.join(full)} hardly anywhere 0: with skull, or noise in the air? The net expects brain alone"
        )
    if not entry.seg and not entry.grade:
        found.append("neither segmentation nor grade: nothing to learn from it")
    return [f"case {entry.case}: {text}" for text in found]


def _fingerprint(volume: Volume) -> tuple[str, str, str]:
    """Hash of the voxels, shape and spacing."""
    content = hashlib.blake2b(volume.values.tobytes(), digest_size=16).hexdigest()
    spacing = nib.affines.voxel_sizes(volume.affine)
    return content, "x".join(map(str, volume.values.shape)), "x".join(f"{size:.3f}" for size in spacing)


def _name_faults(entry: Entry) -> list[str]:
    if not CASE_NAME.fullmatch(entry.case):
        return [f"case {entry.case!a}: its name becomes a file's: use letters, digits, '.', '_' and '-', at most 100"]
    paths = [getattr(entry, name) for name in (*MODALITIES, "seg")]
    odd = [path for path in paths if not path.isprintable()]  # nor is what stands for a byte that is not UTF-8
    same = sorted({path for path in paths if path and paths.count(path) > 1})
    return [f"{path!a}: not UTF-8, or not printable; rename it" for path in odd] + [
        f"case {entry.case}: {path} stands for more than one of {', '.join((*MODALITIES, 'seg'))}" for path in same
    ]


def _twice(entries: Sequence[Entry], inspected: Sequence[Inspection]) -> list[str]:
    """Cases of one name, and cases of one content under different names, which would leak from split to split."""
    by_name, by_content = defaultdict(list), defaultdict(set)
    for entry, inspection in zip(entries, inspected, strict=True):
        by_name[entry.case].append(entry.t1ce)
        by_content[inspection.content].add(entry.case)
    by_content.pop("", None)
    faults = [f"case {name}: twice, {' and '.join(files)}; remove one" for name, files in by_name.items() if files[1:]]
    return faults + [
        f"cases {', '.join(sorted(names))}: the same t1ce volume, so the same case under several names; keep one"
        for names in by_content.values()
        if len(names) > 1
    ]


def _labels(entries: Sequence[Entry], inspected: Sequence[Inspection]) -> list[str]:
    """The label convention of each case, '' without a segmentation; cases of one kind of set have one convention.

    Raises:
        InputError: no convention fits a whole set.
    """
    fits = defaultdict(list)
    for entry, inspection in zip(entries, inspected, strict=True):
        if inspection.conventions:
            fits[entry.conventions].append((entry.seg, inspection.conventions))
    chosen = {conventions: common_convention(found) for conventions, found in fits.items()}
    return [chosen.get(entry.conventions, "") if entry.seg else "" for entry in entries]
