"""Provenance of a run: revision of the code, hashes of the data, time of each stage."""

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from btlib.core.runtime.artifacts import read_json

UNKNOWN = "unknown"
CODE = ("btlib", "stages", "dvc.yaml", "params.yaml", "requirements.lock")


def revision(root: Path) -> str:
    """The commit, and whether code or parameters have uncommitted changes; 'unknown' without git."""
    commit = _git(root, "rev-parse", "HEAD")
    if commit is None:
        return UNKNOWN
    changed = _git(root, "status", "--porcelain", "--", *CODE)
    if changed is None:
        return commit
    return f"{commit}, with uncommitted changes" if changed else commit


def timings(folder: Path) -> dict[str, Mapping[str, Any]]:
    """Stage -> seconds and peak_gib of its last run on this machine, the longest first; empty if none ran here."""
    records = {path.stem: read_json(path) for path in sorted(folder.glob("*.json"))}
    return dict(sorted(records.items(), key=lambda item: -item[1]["seconds"]))


def _git(root: Path, *arguments: str) -> str | None:
    """The output of git; None without git or outside a repository."""
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
