"""The manifest of the volumes: one row per case, from ingest through every later stage."""

from pathlib import Path

import pandas as pd

from btlib.core.runtime.artifacts import read_csv
from btlib.volumes.data.conventions import MODALITIES

COLUMNS = ("case", "patient", "grade", *MODALITIES, "seg", "labels", "shape", "spacing")


def read_manifest(path: Path) -> pd.DataFrame:
    """Reads the manifest, every cell as text."""
    return read_csv(path, text=COLUMNS)
