"""Source `folder`: class folders at any depth, such as Kaggle's Training/… and Testing/… or SARTAJ."""

from collections import Counter
from pathlib import PurePosixPath

from btlib.core.runtime.listing import check_root, walk
from btlib.images.data.classes import ALIASES, CLASSES, class_of
from btlib.images.data.sources.entry import Entry, Request, Scan, usable

SUFFIXES = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".tiff", ".bmp", ".webp"}


def scan(request: Request) -> Scan:
    """Lists the images below the root, labelled by their class folder.

    Layout faults: an image outside every class folder, a class folder without images, a class without a folder, a class
    folder inside another class's.

    Raises:
        InputError: the root is not a folder.
    """
    root, found = request.root, Scan()
    check_root(root, request.key)
    class_folders: list[PurePosixPath] = []
    filled: set[PurePosixPath] = set()
    strangers: Counter[PurePosixPath] = Counter()
    for place, names in walk(root, found.unreadable):
        if class_of(place.name):
            class_folders.append(place)
        labels = sorted({class_of(part) for part in place.parts} - {None})
        names = [name for name in names if str(place / name) not in request.masks]
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
    found.broken += [f"no folder for class '{name}'" for name in CLASSES if request.complete and name not in named]
    found.entries.sort(key=lambda entry: entry.path)
    return found


def _stranger(place: PurePosixPath, count: int) -> str:
    where = "no class folder for" if place == PurePosixPath() else f"unknown class folder '{place}' with"
    return f"{where} {count} image(s); known names, ignoring case and separators: {', '.join(ALIASES)}"
