"""External image sets from other hospitals, used to test the classifier, never to train it."""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path, PurePosixPath

from btlib.core.runtime.errors import InputError, listed
from btlib.core.runtime.listing import check_root, walk
from btlib.images.data.annotations import Annotation, annotated, mask_files, read_annotations
from btlib.images.data.inspection import inspected
from btlib.images.data.reading import open_image, open_mask
from btlib.images.data.sources import folder
from btlib.images.data.sources.entry import Entry, Request, Scan, usable
from btlib.images.data.sources.folder import SUFFIXES
from btlib.images.data.tumor_or_none import KINDS, NONE, kind_of
from btlib.phantom.names import PHANTOM_EXTERNAL

KNOWN = f"known names, ignoring case and separators: {', '.join(KINDS)}"


def refuse_unlisted(name: str, listed: Collection[str]) -> None:
    """Raises InputError unless a set of this name is listed in params.yaml."""
    if name not in listed:
        raise InputError(f"external: no set '{name}' in params.yaml; listed are {', '.join(listed) or 'none'}")


def is_left_out(root: Path, source: str) -> bool:
    """Whether the set at `root` is the phantom one while the study's images, of kind images.source, are real."""
    return root == Path(PHANTOM_EXTERNAL) and source != "phantom"


def refuse_without_none(classes: Sequence[str], name: str) -> None:
    """Raises InputError unless 'no tumour' is one of the network's classes; `name` is the set's."""
    if NONE not in classes:
        raise InputError(
            f"external '{name}': the classifier's classes are {', '.join(classes)}, without '{NONE}', so it "
            "cannot detect tumours; set `external: []` in params.yaml, or train on images without tumour too"
        )


def external_images(name: str, root: Path, layout: str, table: str | None, images_root: Path) -> list[Entry]:
    """The images of one set, each decoded once to check that it is readable.

    Args:
        name: of the set, for messages.
        root: its folder.
        layout: a key of LAYOUTS: `class_folders`, labelled with the study's classes (some may be missing), or
            `tumour_folders`, labelled 'tumor' and 'no_tumor'.
        table: annotations below `root` (see `annotations.py`), or None. Their masks do not count as images.
        images_root: the folder of the training images, which must not overlap with `root`.

    Returns:
        The images sorted by path; patient and mask_path are '' if unknown.

    Raises:
        InputError: `root` is not a folder or overlaps with `images_root`, the table cannot be read, or images, masks,
            folders or the table's rows have faults, which are all listed.
    """
    key = f"external '{name}'"
    root_key = f"the root of {key}"
    check_root(root, root_key)
    _refuse_shared(key, root, images_root)
    try:
        annotations = read_annotations(root, table)
    except InputError as error:  # without it masks would count as images, causing spurious faults
        raise InputError(f"{key}: annotations: {error}") from error
    found = LAYOUTS[layout](Request(root, root_key, mask_files(annotations), complete=False))
    if not found.entries and not found.broken + found.unreadable:
        raise InputError(f"{key}: {root}: no image found for layout '{layout}'; check the folder and its layout")
    entries, faults = annotated(found.entries, _drop_unreadable(annotations, found.unreadable), table)
    _, undecodable = inspected(partial(_check, root), entries, [entry.path for entry in entries], f"decode {name}")
    faults = found.broken + found.unreadable + faults + undecodable
    if faults:
        raise InputError(f"{key}: {root}: {len(faults)} fault(s):\n{listed(faults)}\nRepair or remove them.")
    return entries


def _refuse_shared(key: str, root: Path, images_root: Path) -> None:
    own, training = root.resolve(), images_root.resolve()
    if own.is_relative_to(training):
        where = "is inside images.root" if own != training else "is images.root"
    elif training.is_relative_to(own):
        where = "contains images.root"
    else:
        return
    raise InputError(
        f"{key}: {root} {where} ({images_root}); training images say nothing about other hospitals: use a separate "
        "folder"
    )


def tumor_folders(request: Request) -> Scan:
    """Lists the images below the root; exactly one folder on an image's path names its label."""
    root, found = request.root, Scan()
    strangers: Counter[PurePosixPath] = Counter()
    for place, files in walk(root, found.unreadable):
        candidates = [place / file for file in files if str(place / file) not in request.masks]
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


LAYOUTS: dict[str, Callable[[Request], Scan]] = {"class_folders": folder.scan, "tumour_folders": tumor_folders}


def _stranger(place: PurePosixPath, count: int) -> str:
    where = "no label folder for" if place == PurePosixPath() else f"unknown folder '{place}' with"
    return f"{where} {count} image(s); {KNOWN}"


def _drop_unreadable(annotations: dict[str, Annotation], unreadable: list[str]) -> dict[str, Annotation]:
    """The annotations without unreadable images, whose faults are listed already."""
    named = {fault.split(": ", 1)[0] for fault in unreadable}
    return {path: annotation for path, annotation in annotations.items() if path not in named}


def _check(root: Path, entry: Entry) -> None:
    """Raises InputError if an image or its mask is unusable."""
    shape = open_image(root, entry.path).shape[:2]
    mask = open_mask(root, entry.mask_path).shape if entry.mask_path else shape
    if mask != shape:
        raise InputError(f"{entry.mask_path}: mask of {mask} rows and columns for {entry.path} of {shape}")
