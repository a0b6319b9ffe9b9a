"""Shared by the 2D and 3D writers: checks of the output folder, detection of earlier results, model summary."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from btlib.core.runtime.artifacts import read_json, write_csv
from btlib.core.runtime.errors import InputError
from btlib.core.runtime.listing import walk

CASES, SLICES, UNUSED = "cases.json", "slices.json", "unused.csv"
JOURNAL = "btlib.journal"  # see `btlib.app.predict.journal`
EARLIER = "results of an earlier run, not scans"


def refuse_filled(out: Path) -> None:
    """Raises InputError when `out` exists and is not an empty folder."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    remedy = "choose a new one, nothing is overwritten"
    if (out / JOURNAL).is_file() and not any((out / name).exists() for name in (CASES, SLICES)):
        remedy = "it holds an unfinished run: continue that one with --resume, or choose a new folder"
    raise InputError(f"{out}: not an empty folder; {remedy}")


def about(card: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a model's card that readers of the tables need."""
    return {name: card[name] for name in ("intended_use", "data_note", "calibration", "unsure", "novelty")}


def write_unused(out: Path, unused: Iterable[tuple[str, str]]) -> None:
    """Writes `UNUSED` (`path, reason`) and prints the number of rows.

    Bytes of a path that are not UTF-8 are written as escapes.
    """
    rows = sorted((path.encode(errors="backslashreplace").decode(), reason) for path, reason in unused)
    write_csv(out / UNUSED, pd.DataFrame(rows, columns=["path", "reason"]))
    if rows:
        print(f"{len(rows)} files or folders were not used; {UNUSED} lists them with the reason")


def holds_answers(folder: Path) -> bool:
    """Whether `btlib predict` wrote this folder, finished or not, so that its pictures and masks are not scans."""
    return (folder / JOURNAL).is_file() or any(_is_result_file(folder / name) for name in (CASES, SLICES))


def files_below(root: Path) -> tuple[list[str], dict[Path, str]]:
    """Every file below a folder, relative to it and sorted, except those left by file managers and archivers.

    Returns:
        The files, and the folders that were skipped with the reason: links, and results of an earlier run.
    """
    names: list[str] = []
    faults: list[str] = []
    earlier: dict[Path, str] = {}
    for place, files in walk(root, faults):
        folder = root / place
        if any(folder.is_relative_to(one) for one in earlier):
            continue
        if holds_answers(folder):
            earlier[folder] = EARLIER
        else:
            names += [str(place / name) for name in files]
    parts = [fault.partition(": ") for fault in faults]
    return names, earlier | {root / name: reason for name, _, reason in parts}


def is_answer(path: Path) -> bool:
    """Whether a path is, or is inside, a folder that `btlib predict` wrote."""
    real = path.resolve()
    return any(holds_answers(folder) for folder in (real, *real.parents))


def _is_result_file(path: Path) -> bool:
    try:
        content = path.is_file() and read_json(path)
    except InputError:  # another program's file of that name
        return False
    return isinstance(content, dict) and isinstance(content.get("model"), dict) and "intended_use" in content["model"]
