"""The user's own split, for `split_by: file`: a table that assigns images to train, val and test."""

from pathlib import Path

import numpy as np
import pandas as pd

from btlib.core.runtime.dealing import SPLITS
from btlib.core.runtime.errors import InputError, brief, listed
from btlib.core.runtime.paths import resolve_inside
from btlib.core.runtime.tables import read_user_table

COLUMNS = ("path", "image_id", "split")


def own_split(root: Path, table: str | None, manifest: pd.DataFrame) -> np.ndarray | None:
    """Reads the split of each image; None if there is no table.

    Args:
        root: the images' folder.
        table: a CSV file inside it, with `split` and either `path` (relative to `root`) or `image_id`.
        manifest: `image_id, path`.

    Returns:
        Text [N], in the order of the manifest.

    Raises:
        InputError: the table is missing or outside `root`, lacks a column, repeats or omits an image, names an unknown
            one, or has other values than train, val and test. Lists all faults.
    """
    if table is None:
        return None
    resolve_inside(root, table)
    rows = read_user_table(root / table, COLUMNS, required=("split", ("path", "image_id")), paths=("path",))
    key = "path" if "path" in rows else "image_id"
    faults = [f"'{name}' is listed more than once" for name in sorted(set(rows[key][rows[key].duplicated()]))]
    faults += [
        f"'{name}' is not one of the images, or was excluded by the audit"
        for name in sorted(set(rows[key]) - set(manifest[key]))
    ]
    faults += [f"'{name}' is not in the table" for name in sorted(set(manifest[key]) - set(rows[key]))]
    faults += [
        f"unknown split '{name}'; known: {', '.join(SPLITS)}" for name in sorted(set(rows["split"]) - set(SPLITS))
    ]
    if faults:
        raise InputError(f"{table}: {len(faults)} fault(s):\n{listed([brief(fault, 300) for fault in faults])}")
    return manifest[key].map(rows.set_index(key)["split"]).to_numpy(dtype=object)
