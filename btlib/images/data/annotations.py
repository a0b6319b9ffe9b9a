"""Annotation table of the images: patients and paths of lesion masks."""

from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from btlib.core.runtime.errors import InputError, brief, listed
from btlib.core.runtime.paths import resolve_inside
from btlib.core.runtime.tables import read_user_table
from btlib.images.data.sources.entry import Entry

COLUMNS = ("path", "patient", "mask_path")


@dataclass(frozen=True)
class Annotation:
    """A table's entry for one image; '' where unknown."""

    patient: str = ""
    mask_path: str = ""


def read_annotations(root: Path, table: str | None) -> dict[str, Annotation]:
    """Reads the table: image path -> annotation.

    Args:
        root: the images' folder, base of all paths.
        table: a CSV file inside it, with `path` and, where known, `patient` and `mask_path`; None: no table.

    Raises:
        InputError: the table is missing or outside `root`, lacks a column, or names an image twice.
    """
    if table is None:
        return {}
    resolve_inside(root, table)
    required = ("path", ("patient", "mask_path"))
    rows = read_user_table(root / table, COLUMNS, required, paths=("path", "mask_path"))
    rows = rows.reindex(columns=list(COLUMNS), fill_value="")
    twice = sorted(set(rows.path[rows.path.duplicated()]))
    if twice:
        raise InputError(f"{table}: {len(twice)} path(s) are listed more than once:\n{listed(list(map(brief, twice)))}")
    return {path: Annotation(patient, mask) for path, patient, mask in rows.itertuples(index=False)}


def mask_files(annotations: dict[str, Annotation]) -> frozenset[str]:
    """Paths of the mask files, normalised as in `walk`: without './' and double slashes."""
    return frozenset(str(PurePosixPath(one.mask_path)) for one in annotations.values() if one.mask_path)


def annotated(
    entries: list[Entry], annotations: dict[str, Annotation], table: str | None
) -> tuple[list[Entry], list[str]]:
    """The entries with their annotations, and the table's faults: unknown paths, and patients or masks that contradict
    the data.

    Args:
        table: its name, for messages.
    """
    strangers = sorted(annotations.keys() - {entry.path for entry in entries})
    faults = [f"{table}: '{brief(path)}' is not one of the images" for path in strangers]
    filled = []
    for entry in entries:
        annotation = annotations.get(entry.path, Annotation())
        for name in ("patient", "mask_path"):
            own, other = getattr(entry, name), getattr(annotation, name)
            if own and other and own != other:
                faults.append(f"{table}: {entry.path}: {name} is '{brief(other)}', but the data say '{own}'")
        filled.append(
            replace(
                entry,
                patient=entry.patient or annotation.patient,
                mask_path=entry.mask_path or annotation.mask_path,
            )
        )
    return filled, faults
