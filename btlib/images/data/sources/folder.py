"""Source `folder`: class folders at any depth, as Kaggle's Training/… and Testing/… or SARTAJ come."""

from collections import Counter
from pathlib import Path, PurePosixPath

from btlib.core.runtime.listing import check_root, walk
from btlib.images.data.classes import ALIASES, CLASSES, class_of
from btlib.images.data.sources.entry import Entry, Scan, usable

SUFFIXES = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".tiff", ".bmp", ".webp"}


def scan(root: Path, key: str = "images.root", masks: frozenset[str] = frozenset(), complete: bool = True) -> Scan:
    """Lists the images below `root`; each takes its label from the class folder that it lies in.

    Layout faults: an image outside every class folder, a class folder without images, a class without a folder,
    one class folder inside another's.

    Args:
        key: of params.yaml that names `root`, for the messages.
        masks: files that are lesion masks and no images, relative to `root`.
        complete: whether every class must have a folder.

    Raises:
        InputError: `root` is no folder.
    """
    check_root(root, key)
    found = Scan()
    class_folders: list[PurePosixPath] = []
    filled: set[PurePosixPath] = set()
    strangers: Counter[PurePosixPath] = Counter()
    for place, names in walk(root, found.unreadable):
        if class_of(place.name):
            class_folders.append(place)
        labels = sorted({class_of(part) for part in place.parts} - {None})
        names = [name for name in names if str(place / name) not in masks]
        paths = [place / name for name in names if usable(root, place / name, SUFFIXES, found)]
        if paths:
            filled |= {place, *place.parents}
        if len(labels) == 1:
            found.entries += [Entry(str(path), labels[0]) for path in paths]
        elif labels and paths:
            found.broken.append(f"{place}: images inside the folders of both {' and '.join(labels)}")
        elif paths:
            strangers[place] = len(paths)
    found.broken += [_stranger(place, count) for place, count in strangers.items()]
    found.broken += [f"{place}: class folder without images" for place in class_folders if place not in filled]
    named = {class_of(place.name) for place in class_folders}
    found.broken += [f"no folder for class '{name}'" for name in CLASSES if complete and name not in named]
    found.entries.sort(key=lambda entry: entry.path)
    return found


def _stranger(place: PurePosixPath, count: int) -> str:
    where = "no class folder around" if place == PurePosixPath() else f"unknown class folder '{place}' with"
    return f"{where} {count} image(s); known names, whatever their case and separators: {', '.join(ALIASES)}"
