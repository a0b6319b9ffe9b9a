"""The manifest: one row per image, from ingest through every later stage."""

import hashlib
import re
from pathlib import Path, PurePosixPath

import pandas as pd

from btlib.core.runtime.artifacts import read_csv

COLUMNS = (
    "image_id",
    "path",
    "label",
    "patient",
    "group",
    "source",
    "sha256",
    "phash",
    "width",
    "height",
    "mask_path",
)
TEXT_COLUMNS = ("image_id", "path", "label", "patient", "source", "sha256", "phash", "phash_turned", "mask_path")


def read_manifest(path: Path) -> pd.DataFrame:
    """Reads a manifest with its text columns as text."""
    return read_csv(path, text=TEXT_COLUMNS)


def image_id(path: str) -> str:
    """A stable name for the image at `path`, safe in every file system: its stem and a hash."""
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", PurePosixPath(path).stem)[:60]
    return f"{stem}-{hashlib.blake2b(path.encode(), digest_size=6).hexdigest()}"
