"""The data audit: numbers of images and copies, and what each way of splitting would leak."""

from collections.abc import Mapping

from btlib.core.runtime.dealing import SPLITS
from btlib.images.data.classes import CLASSES
from btlib.images.data.separation import NEAR_COPY, RUNGS, separation
from btlib.report.blocks import Block, Section, Table, Text
from btlib.report.figures.numbers import MINUS, NOTHING, SHARE, count, spoken
from btlib.report.figures.paper import CLASS_COUNTS
from btlib.report.study import Study
from btlib.volumes.data.labels import numbering, spelled

COUNTS = {
    "images": "images",
    "patients": "known patients",
    "images_without_patient": "images whose patient is unknown",
    "linked_images": "images linked to a slice of the reference set",
    "label_conflicts": "identical images with two labels",
    "exact_duplicate_groups": "sets of identical images",
    "exact_duplicate_images": "images in these sets",
    "near_duplicate_images": "images with an upright near copy",
    "near_duplicate_label_conflicts": "near copies with two labels",
    "groups": "groups of images that belong together (copies, patients)",
    "largest_group": "images in the largest group",
}
LEAKS = {
    "near_copy": "near copy in train, upright",
    "near_copy_any_orientation": "near copy in train, any orientation",
    "same_slice": "same slice in train",
    "same_patient": "same patient in train",
    "known_patient": "patient known",
}
WAYS = {
    "image": "image (the paper's protocol)",
    "folder": "folder (the data set's own test folder)",
    NEAR_COPY: f"{RUNGS[NEAR_COPY]} (for comparison)",
    "group": "group",
    "file": "file (your own table)",
}
LINKS = {
    "links.png": (
        "Each image's best match in the reference set: linked if hash distance and correlation both pass their "
        "thresholds. The wider the gap between the two populations, the more reliable the links.",
        "Scatter of hash distance against correlation, and histogram of the correlations, linked images and others",
    )
}
FIGURES = {
    "fig7_samples.png": ("Samples of each class (the paper's Figure 7).", "Grid of sample slices, a row per class"),
    "fig2_preprocessing.png": (
        "Before and after CLAHE and resizing (the paper's Figure 2).",
        "Slices before and after preprocessing",
    ),
    "fig3_intensities.png": (
        "Intensities before and after (the paper's Figure 3).",
        "Histograms of grey levels before and after preprocessing",
    ),
}
SPOKEN_SPLITS = {"train": "training", "val": "validation", "test": "test"}


def audit_section(study: Study) -> Section:
    audit, split = study.scores("audit"), study.scores("split")
    split_by = study.params["split_by"]
    blocks: list[Block] = [
        Text(f"Split by {split_by}: {separation(audit, split_by)}."),
        Table("What is in the data", ("what", "number"), [(COUNTS[k], count(audit[k])) for k in COUNTS if k in audit]),
        leak_table(audit, split_by, study.params["split.folds"]),
        *study.figures("link", LINKS),
        Table(
            "Table 2: images of each class in each split",
            (
                "class",
                *(f"{SPOKEN_SPLITS[name]}, {whose}" for name in (*SPLITS,) for whose in ("ours", "paper")),
                "all, ours",
                "all, paper",
                "difference",
            ),
            split_rows(split),
            note="The difference is ours minus the paper's, which splits each class 80/10/10.",
        ),
    ]
    blocks += study.figures("preprocess", FIGURES)
    return Section("audit", "Data audit", blocks, study.notes["images"])


def leak_table(audit: Mapping, split_by: str, folds: int = 1) -> Table:
    """Leaks from test to train for each possible way of splitting; the row of this run is marked.

    Args:
        folds: if more than one, the table is for the fold that tests the main model.
    """
    leaks = audit["leaks_by_split"]
    nobody = audit["images_without_patient"] == audit["images"]
    lacking = {"same_patient", "known_patient"} if nobody else set()
    if not audit["linked_images"]:
        lacking.add("same_slice")
    rows = [
        (
            WAYS[kind],
            count(leaks[kind]["test"]),
            *(NOTHING if key in lacking else _counted(leaks[kind][key], leaks[kind]["test"]) for key in LEAKS),
            "yes" if kind == split_by else "",
        )
        for kind in WAYS
        if leaks.get(kind)
    ]
    impossible = [kind for kind in WAYS if kind != "file" and not leaks.get(kind)]
    notes = [
        "Test images and their share. Copies in any orientation include mirrored and rotated ones. Slices and patients "
        "count where they are known.",
        *(["No patient is known here, so patients may be on both sides of every split."] if nobody else []),
        *(["No image is linked to a slice of a reference set."] if "same_slice" in lacking else []),
        *([f"Not possible here: split by {', '.join(impossible)}."] if impossible else []),
        *([f"For the fold that tests the main model, one of {folds}."] if folds > 1 else []),
    ]
    return Table(
        "Leaks of each way of splitting: test images with a near copy, their slice or their patient in train",
        ("split by", "test images", *LEAKS.values(), "this run"),
        rows,
        note=" ".join(notes),
        marked=frozenset(number for number, row in enumerate(rows) if row[-1]),
    )


def split_rows(split: Mapping[str, Mapping[str, int]]) -> list[tuple[str, ...]]:
    """Our and the paper's counts of each class, and of all, in every split and in total, and the totals' difference."""
    rows = []
    for name, classes in [*((spoken(label), (label,)) for label in CLASSES), ("all", CLASSES)]:
        ours, theirs = (
            [sum(counts[part][label] for label in classes) for part in SPLITS] for counts in (split, CLASS_COUNTS)
        )
        pairs = [count(number) for both in zip(ours, theirs, strict=True) for number in both]
        difference = f"{sum(ours) - sum(theirs):+,}".replace("-", MINUS)
        rows.append((name, *pairs, count(sum(ours)), count(sum(theirs)), difference))
    return rows


def _counted(number: int, total: int) -> str:
    """'182 (25.9 %)'."""
    return f"{count(number)} ({SHARE.said(number / total)})"


def volumes_section(study: Study) -> Section:
    """The audit of the volumes."""
    split, manifest = study.scores("split_volumes"), study.volumes
    grades = sorted({grade for counts in split.values() for grade in counts})
    rows = [(SPOKEN_SPLITS[part], *(count(split[part][grade]) for grade in grades)) for part in SPLITS]
    rows.append(("all", *(count(sum(split[part][grade] for part in SPLITS)) for grade in grades)))
    facts = [
        ("cases", count(len(manifest))),
        ("patients", count(manifest["patient"].nunique())),
        ("with a segmentation", count(int((manifest["seg"] != "").sum()))),
        ("segmentation labels", _numberings(manifest["labels"])),
        ("with a grade", count(int((manifest["grade"] != "").sum()))),
        ("grids (voxels)", _kinds(manifest["shape"])),
        ("spacings (mm)", _kinds(manifest["spacing"])),
    ]
    blocks = [
        Text("Cases are split by patient, within each grade, so that no patient is in two splits."),
        Table("What is in the volumes", ("what", "number"), facts),
        Table("Cases of each grade in each split", ("split", *grades), rows),
    ]
    return Section("volumes", "Data audit: volumes", blocks, study.notes["volumes"])


def _numberings(labels) -> str:
    """'canonical: 1 necrotic_core, 2 edema, 3 enhancing (80)' for each numbering that the segmentations use."""
    counts = labels[labels != ""].value_counts()
    return "; ".join(f"{name}: {spelled(numbering(name))} ({number})" for name, number in counts.items()) or NOTHING


def _kinds(values, shown: int = 3) -> str:
    """The most frequent values with their counts."""
    counts = values.value_counts()
    parts = [f"{value} ({number})" for value, number in counts.head(shown).items()]
    return ", ".join(parts) + (f" and {len(counts) - shown} more" if len(counts) > shown else "")
