"""The user's own split, for `split_by: file`: a table that says which image trains, validates and tests."""

from pathlib import Path

import numpy as np
import pandas as pd

from btlib.artifacts import read_csv
from btlib.data.reading import resolve_inside
from btlib.data.splits import SPLITS
from btlib.errors import InputError, listed


def own_split(root: Path, table: str | None, manifest: pd.DataFrame) -> np.ndarray | None:
    """The split of each image as the table says; None where there is no table.

    Args:
        root: the images' folder.
        table: a CSV file inside it, with `split` and either `path` (relative to `root`) or `image_id`.
        manifest: `image_id, path`.

    Returns:
        text [N], in the order of the manifest.

    Raises:
        InputError: the table is missing or outside `root`, lacks a column, names an image twice or one that is not
            there, leaves one out, or has another word than train, val and test. All faults are named at once.
    """
    if table is None:
        return None
    rows = read_csv(resolve_inside(root, table), text=("path", "image_id", "split"))
    key = next((name for name in ("path", "image_id") if name in rows), None)
    if key is None or "split" not in rows:
        raise InputError(f"{table}: columns are {', '.join(rows)}; expected split, and path or image_id")
    faults = [f"'{name}' is listed more than once" for name in sorted(set(rows[key][rows[key].duplicated()]))]
    faults += [
        f"'{name}' is none of the images, or the audit left it out"
        for name in sorted(set(rows[key]) - set(manifest[key]))
    ]
    faults += [f"'{name}' is not in the table" for name in sorted(set(manifest[key]) - set(rows[key]))]
    faults += [
        f"unknown split '{name}'; known: {', '.join(SPLITS)}" for name in sorted(set(rows["split"]) - set(SPLITS))
    ]
    if faults:
        raise InputError(f"{table}: {len(faults)} fault(s):\n{listed(faults)}")
    return manifest[key].map(rows.set_index(key)["split"]).to_numpy(dtype=object)
