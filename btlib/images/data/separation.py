"""Standard phrases for what a split separates.

Groups of near copies alone may have patients on both sides, so a split is called leak-free only if every image's
patient is known. The counts are those of metrics/audit.json, from `btlib.images.data.audit`.
"""

from collections.abc import Mapping
from typing import Any

# rungs of the ladder, from the most to the least optimistic
IMAGE, NEAR_COPY, PATIENT = "image", "near_copy", "patient"
RUNGS = {
    IMAGE: "by image",
    NEAR_COPY: "near copies apart, patients ignored",
    PATIENT: "patients apart where known",
}
KINDS = {
    "image": "by image",
    "folder": "by folder",
    "near_copy": RUNGS[NEAR_COPY],
    "group": "by group",
    "file": "by file",
}


def kept_apart(images: int, unknown: int) -> str:
    """What a split by group separates, given the number of images and of those with unknown patient."""
    if unknown == 0:
        return "leak-free: patients and near copies apart"
    if unknown >= images:
        return "near copies apart; patients unknown"
    return f"near copies apart; {RUNGS[PATIENT]} ({images - unknown:,} of {images:,} images)"


def separation(audit: Mapping[str, Any], split_by: str) -> str:
    """What the split in use separates, as far as known; for a leaking split, the number of test images affected.

    Args:
        audit: with `images`, `images_without_patient` and `leaks_by_split`.
        split_by: the kind in use.
    """
    leaks = audit["leaks_by_split"][split_by]
    if not leaking(leaks):
        return kept_apart(audit["images"], audit["images_without_patient"])
    found = f"leaks: {leaks['near_copy_any_orientation']:,} of {leaks['test']:,} test images have a near copy in train"
    if not leaks["known_patient"]:
        return f"{found}; patients unknown"
    return f"{found}, {leaks['same_patient']:,} of {leaks['known_patient']:,} of known patient have that patient there"


def rung(audit: Mapping[str, Any], split_by: str) -> str | None:
    """The rung of a split; None if it is neither by image nor free of known leaks."""
    if split_by == "image":
        return IMAGE
    if leaking(audit["leaks_by_split"][split_by]):
        return None
    return PATIENT if audit["images_without_patient"] < audit["images"] else NEAR_COPY


def leaking(leaks: Mapping[str, int]) -> bool:
    """Whether any test image is known to have a near copy, its slice or its patient in train."""
    return any(leaks[key] for key in ("near_copy_any_orientation", "same_slice", "same_patient"))
