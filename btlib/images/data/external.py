"""Sets of images from other hospitals: tried on the classifier, never trained on."""

from collections import Counter
from functools import partial
from pathlib import Path, PurePosixPath

from btlib.core.runtime.errors import InputError, listed
from btlib.core.runtime.listing import check_root, walk
from btlib.images.data.annotations import Annotation, annotated, mask_files, read_annotations
from btlib.images.data.inspection import inspected
from btlib.images.data.reading import open_image, open_mask
from btlib.images.data.sources import folder
from btlib.images.data.sources.entry import Entry, Scan, usable
from btlib.images.data.sources.folder import SUFFIXES
from btlib.images.data.tumor_or_none import KINDS, kind_of

KNOWN = f"known names, whatever their case and separators: {', '.join(KINDS)}"


def external_images(name: str, root: Path, layout: str, table: str | None, images_root: Path) -> list[Entry]:
    """The images of one set, each decoded once to see that it can be.

    Args:
        name: of the set, for messages.
        root: its folder.
        layout: `class_folders`, whose labels are the study's classes, not all of which need be there; or
            `tumour_folders`, whose labels are 'tumor' and 'no_tumor'.
        table: annotations below `root` (see `annotations.py`), or None. What they name as masks are no images.
        images_root: the folder that training images come from, which must have nothing in common with `root`.

    Returns:
        the images sorted by path; patient and mask_path '' where unknown.

    Raises:
        InputError: `root` is no folder or shares images with `images_root`, the table cannot be read, or images,
            masks, folders or the table's rows have faults; all of the latter are in one list.
    """
    key = f"external '{name}'"
    root_key = f"the root of {key}"
    check_root(root, root_key)
    _refuse_shared(key, root, images_root)
    try:
        annotations = read_annotations(root, table)
    except InputError as error:  # without it masks would count as images, and every further fault might be none
        raise InputError(f"{key}: annotations: {error}") from error
    masks = mask_files(annotations)
    if layout == "class_folders":
        found = folder.scan(root, root_key, masks, complete=False)
    else:
        found = _tumor_folders(root, masks)
    if not found.entries and not found.broken + found.unreadable:
        raise InputError(f"{key}: {root}: no image found for layout '{layout}'; check the folder and its layout")
    entries, faults = annotated(found.entries, _without(annotations, found.unreadable), table)
    _, undecodable = inspected(partial(_check, root), entries, [entry.path for entry in entries], f"decode {name}")
    faults = found.broken + found.unreadable + faults + undecodable
    if faults:
        raise InputError(f"{key}: {root}: {len(faults)} fault(s):\n{listed(faults)}\nMend or remove them.")
    return entries


def _refuse_shared(key: str, root: Path, images_root: Path) -> None:
    own, training = root.resolve(), images_root.resolve()
    if own.is_relative_to(training):
        where = "lies inside images.root" if own != training else "is images.root"
    elif training.is_relative_to(own):
        where = "has images.root inside it"
    else:
        return
    raise InputError(
        f"{key}: {root} {where} ({images_root}); what the network learnt from says nothing of another hospital: "
        "name a folder beside it"
    )


def _tumor_folders(root: Path, masks: frozenset[str]) -> Scan:
    """Lists the images below `root` that are no `masks`; exactly one folder on an image's path names its label."""
    found = Scan()
    strangers: Counter[PurePosixPath] = Counter()
    for place, files in walk(root, found.unreadable):
        candidates = [place / file for file in files if str(place / file) not in masks]
        paths = [path for path in candidates if usable(root, path, SUFFIXES, found)]
        names = [part for part in place.parts if kind_of(part)]
        if len(names) == 1:
            found.entries += [Entry(str(path), kind_of(names[0])) for path in paths]
        elif names and paths:
            found.broken.append(
                f"{place}: images inside both {' and '.join(map(repr, names))}; one must name the label"
            )
        elif paths:
            strangers[place] = len(paths)
    found.broken += [_stranger(place, count) for place, count in strangers.items()]
    found.entries.sort(key=lambda entry: entry.path)
    return found


def _stranger(place: PurePosixPath, count: int) -> str:
    where = "no folder that names a label around" if place == PurePosixPath() else f"unknown folder '{place}' with"
    return f"{where} {count} image(s); {KNOWN}"


def _without(annotations: dict[str, Annotation], unreadable: list[str]) -> dict[str, Annotation]:
    """The annotations but for images that have a fault already: one fault should be one line."""
    named = {fault.split(": ", 1)[0] for fault in unreadable}
    return {path: said for path, said in annotations.items() if path not in named}


def _check(root: Path, entry: Entry) -> None:
    """Raises InputError when an image or its mask cannot be used."""
    shape = open_image(root, entry.path).shape[:2]
    mask = open_mask(root, entry.mask_path).shape if entry.mask_path else shape
    if mask != shape:
        raise InputError(f"{entry.mask_path}: mask of {mask} rows and columns for {entry.path} of {shape}")
