"""Sorted listings of a data source's files, with links checked and known junk skipped."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from btlib.core.runtime.errors import InputError, brief

# Files that file managers, archivers and data sets add to images. Names that start with a dot are skipped too.
JUNK_NAMES = {"thumbs.db", "desktop.ini", "cvind.mat"}  # cvind.mat: Figshare's fold numbers
JUNK_SUFFIXES = {".csv", ".htm", ".html", ".json", ".md", ".pdf", ".txt", ".xml", ".yaml", ".yml"}
JUNK_FOLDERS = {"__macosx"}


def check_root(root: Path, key: str = "images.root") -> None:
    """Raises InputError unless `root` is a folder.

    Args:
        key: its key in params.yaml, for the message.
    """
    try:
        if root.is_dir():
            return
        what = "is a file, not a folder" if root.exists() else "no such folder"
    except OSError as error:  # name too long, or no permission
        what = error.strerror
    raise InputError(
        f"{key}: {brief(root)}: {what}; set {key} in params.yaml to the folder with the images "
        "(for the demo's images, run `dvc repro phantom`)"
    )


def walk(root: Path, faults: list[str]) -> Iterator[tuple[PurePosixPath, list[str]]]:
    """Yields every folder, relative to `root`, with the names of its files: both sorted, junk skipped.

    Linked folders are not entered, since their images could count twice or be outside `root`; they are added to
    `faults`, as are unreadable folders.
    """

    def add_fault(error: OSError) -> None:
        faults.append(f"{_place(root, error.filename)}: an unreadable folder ({error.strerror})")

    for folder, folders, names in os.walk(root, onerror=add_fault):
        place = _place(root, folder)
        folders[:] = sorted(name for name in folders if not _is_junk_folder(name))
        for name in [name for name in folders if (Path(folder) / name).is_symlink()]:
            faults.append(f"{place / name}: a linked folder; copy its images into the root, or make it the root")
        yield place, sorted(name for name in names if not _is_junk_file(name))


def _place(root: Path, folder: str) -> PurePosixPath:
    return PurePosixPath(Path(folder).relative_to(root).as_posix())


def _is_junk_folder(name: str) -> bool:
    return name.startswith(".") or name.lower() in JUNK_FOLDERS


def _is_junk_file(name: str) -> bool:
    return name.startswith(".") or name.lower() in JUNK_NAMES or Path(name).suffix.lower() in JUNK_SUFFIXES
