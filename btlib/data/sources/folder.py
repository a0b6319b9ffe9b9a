"""Source `folder`: class folders at any depth, as Kaggle's Training/… and Testing/… or SARTAJ come."""

import os
from pathlib import Path, PurePosixPath

from btlib.data.classes import ALIASES, CLASSES, class_of
from btlib.data.sources.entry import Entry, Scan
from btlib.data.sources.files import check_root, usable_files

SUFFIXES = {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp"}


def scan(root: Path) -> Scan:
    """Lists the images below `root`; each takes its label from the class folder that it lies in.

    Layout faults: an image outside every class folder, a class folder without images, a class without a folder,
    one class folder inside another's.

    Raises:
        InputError: `root` is no folder.
    """
    check_root(root)
    found = Scan()
    strangers: dict[str, int] = {}
    for path in usable_files(root, SUFFIXES, found):
        labels = {class_of(part) for part in path.parts[:-1]} - {None}
        if len(labels) == 1:
            found.entries.append(Entry(str(path), labels.pop()))
        elif labels:
            found.broken.append(f"{path}: lies in the folders of {' and '.join(sorted(labels))}")
        else:
            strangers[str(path.parent)] = strangers.get(str(path.parent), 0) + 1
    found.broken += [_stranger(folder, count) for folder, count in strangers.items()]
    found.broken += _empty_class_folders(root)
    seen = {class_of(part) for folder, _, _ in os.walk(root) for part in Path(folder).relative_to(root).parts}
    found.broken += [f"no folder for class '{name}'" for name in CLASSES if name not in seen]
    return found


def _stranger(folder: str, count: int) -> str:
    where = "the root itself" if folder == "." else f"unknown class folder '{folder}'"
    return f"{where} with {count} image(s); known names, whatever their case and separators: {', '.join(ALIASES)}"


def _empty_class_folders(root: Path) -> list[str]:
    faults = []
    for folder, folders, _ in os.walk(root):
        folders.sort()
        place = PurePosixPath(Path(folder).relative_to(root).as_posix())
        if class_of(place.name) and not any(p.suffix.lower() in SUFFIXES for p in Path(folder).rglob("*")):
            faults.append(f"{place}: class folder without images")
    return faults
