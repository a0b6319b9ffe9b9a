"""The data audit: how many images, which copies, and what each way of splitting would leak."""

from collections.abc import Mapping

from btlib.data.classes import CLASSES
from btlib.data.splits import SPLITS
from btlib.paper import CLASS_COUNTS
from btlib.report.blocks import Block, Section, Table, Text
from btlib.report.scores import MINUS, NOTHING, SHARE, count, spoken
from btlib.report.study import Study

COUNTS = {
    "images": "images",
    "patients": "patients named by the data",
    "label_conflicts": "identical images with two labels",
    "exact_duplicate_groups": "sets of identical images",
    "exact_duplicate_images": "images in them",
    "near_duplicate_images": "images with an upright near copy",
    "near_duplicate_label_conflicts": "near copies with two labels",
    "groups": "groups of images that belong together (copies, patients)",
    "largest_group": "images in the largest group",
}
LEAKS = {
    "test_near_duplicates_in_train_by_split": "upright",
    "test_near_duplicates_in_train_any_orientation_by_split": "in any orientation",
}
KINDS = {
    "image": "image (the paper's protocol)",
    "folder": "folder (the data set's own test folder)",
    "group": "group (leak-free)",
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
    blocks: list[Block] = [
        Table("What is in the data", ("what", "number"), [(COUNTS[k], count(audit[k])) for k in COUNTS if k in audit]),
        leak_table(audit, study.params["split_by"]),
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
            note="The difference is ours minus the paper's. Both deal 80/10/10 within each class.",
        ),
    ]
    blocks += study.figures("preprocess", FIGURES)
    return Section("audit", "Data audit", blocks, study.notes["images"])


def leak_table(audit: Mapping, split_by: str) -> Table:
    """Share of the test images with a near copy in train, for each way of splitting; this run's way is marked."""
    rows = [
        (KINDS[kind], *(_leak(audit[key].get(kind)) for key in LEAKS), "yes" if kind == split_by else "")
        for kind in KINDS
    ]
    return Table(
        "Contamination: test images with a near copy among the training images",
        ("split by", *LEAKS.values(), "this run"),
        rows,
        note="Mirrored and turned copies count as copies in any orientation.",
        marked=frozenset(number for number, row in enumerate(rows) if row[-1]),
    )


def split_rows(split: Mapping[str, Mapping[str, int]]) -> list[tuple[str, ...]]:
    """Of each class, and of all: ours and the paper's in every split, in all splits, and the difference of these."""
    rows = []
    for name, classes in [*((spoken(label), (label,)) for label in CLASSES), ("all", CLASSES)]:
        ours, theirs = (
            [sum(counts[part][label] for label in classes) for part in SPLITS] for counts in (split, CLASS_COUNTS)
        )
        pairs = [count(number) for both in zip(ours, theirs, strict=True) for number in both]
        difference = f"{sum(ours) - sum(theirs):+,}".replace("-", MINUS)
        rows.append((name, *pairs, count(sum(ours)), count(sum(theirs)), difference))
    return rows


def _leak(share: float | None) -> str:
    return f"{NOTHING} (not possible here)" if share is None else SHARE.said(share)


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
        ("with a grade", count(int((manifest["grade"] != "").sum()))),
        ("grids (voxels)", _kinds(manifest["shape"])),
        ("spacings (mm)", _kinds(manifest["spacing"])),
    ]
    blocks = [
        Text("Cases are dealt by patient, within each grade, so that no patient is in two splits."),
        Table("What is in the volumes", ("what", "number"), facts),
        Table("Cases of each grade in each split", ("split", *grades), rows),
    ]
    return Section("volumes", "Data audit: volumes", blocks, study.notes["volumes"])


def _kinds(values, shown: int = 3) -> str:
    """The most frequent values and how often they occur."""
    counts = values.value_counts()
    parts = [f"{value} ({number})" for value, number in counts.head(shown).items()]
    return ", ".join(parts) + (f" and {len(counts) - shown} more" if len(counts) > shown else "")
